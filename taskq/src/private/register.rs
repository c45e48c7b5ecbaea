//! Registering tasks that are implemented by hand.

/// Registers tasks that are implemented by hand, so that workers find them: `register!(Charge, Refund);`
///
/// What `#[task]` makes is registered already.
#[macro_export]
macro_rules! register {
    ($($task:ty),+ $(,)?) => {
        $(
            $crate::__private::inventory::submit! {
                $crate::__private::Registration::of::<$task>()
            }

            const _: () = {
                #[allow(unused_imports)]
                use $crate::__private::NoTask as _;
                <$crate::__private::Lost<{ $crate::__private::Loses::<$task>::RESULT }>
                    as $crate::__private::NothingLost>::CHECKED
            };
        )+
    };
}

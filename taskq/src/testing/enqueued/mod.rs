//! `assert_enqueued!` and its like: is the task there that a test expects, and if not, what is there instead?

mod compared;
mod found;
mod instead;

pub use self::compared::{Conditions, Differences, Shown, ShownByDebug, ShownByText};
pub use self::found::{__tasks, EnqueuedTask, FoundTasks, Tasks};

/// Asserts that a task waits: in its type's queue, with these values in its payload.
///
/// The values are expressions, compared by `==`; with `..` other fields may have any. A field that the payload does not
/// have does not compile. What counts is what the connection sees, so a test asks in its own transaction, before the
/// commit too.
///
/// Conditions follow the payload, by the words of [`Enqueue`](crate::Enqueue):
///
/// | condition | the task |
/// | --- | --- |
/// | `queue = "bulk"` | is in this queue, and not in that of its type |
/// | `priority = 5` | has this priority |
/// | `delay = Duration::from_secs(60)` | is due so long after its enqueue; `Duration::ZERO` where it is due at once |
/// | `run_at = at` | is due at this time |
/// | `schema = other` | is in the tables of this [`Schema`](crate::Schema), and not in those of `taskq` |
///
/// Times are compared to the millisecond. At most the latest 1,000 tasks of the type are looked at.
///
/// ```
/// # #[taskq::task(queue = "mail")] async fn send_email_welcome(usr_id: i64, locale: Option<String>) {}
/// # async fn test(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
/// # let usr_id = 42;
/// use std::time::Duration;
/// use taskq::assert_enqueued;
///
/// let mut tx = pool.begin().await?;
/// SendEmailWelcome::enqueue(&mut tx, 42, None).delay(Duration::from_secs(60)).await?;
/// assert_enqueued!(&mut tx, SendEmailWelcome { usr_id: 42, .. });
/// assert_enqueued!(&mut tx, SendEmailWelcome { usr_id, locale: None });
/// assert_enqueued!(&mut tx, SendEmailWelcome { .. }, delay = Duration::from_secs(60), priority = 0);
/// # Ok(()) }
/// ```
///
/// # Panics
///
/// When there is no such task. The message names the nearest tasks of the type, and in what each differs: fields, queue,
/// priority, time, or that it runs or has ended. Where there is none of the type, it says which types there are, and
/// which other schemas have some. Values of secret fields are not shown.
#[macro_export]
macro_rules! assert_enqueued {
    ($conn:expr, $($asked:tt)+) => {
        $crate::__enqueued!(assert, $conn, $($asked)+)
    };
}

/// Asserts that no such task waits. It is asked as by [`assert_enqueued!`].
///
/// ```
/// # #[taskq::task] async fn send_email_welcome(usr_id: i64, locale: Option<String>) {}
/// # async fn test(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
/// let mut tx = pool.begin().await?;
/// SendEmailWelcome::enqueue(&mut tx, 42, None).await?;
/// taskq::refute_enqueued!(&mut tx, SendEmailWelcome { usr_id: 7, .. });
/// # Ok(()) }
/// ```
///
/// # Panics
///
/// When there is one. The message names those that wait. Also when a waiting task of the type and queue has a payload
/// that does not decode: nobody can tell then.
#[macro_export]
macro_rules! refute_enqueued {
    ($conn:expr, $($asked:tt)+) => {
        $crate::__enqueued!(refute, $conn, $($asked)+)
    };
}

/// Returns all tasks that wait and are meant, as [`EnqueuedTask`]s: those enqueued first come first. It is asked as by
/// [`assert_enqueued!`].
///
/// ```
/// # #[taskq::task] async fn send_email_welcome(usr_id: i64, locale: Option<String>) {}
/// # async fn test(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
/// let mut tx = pool.begin().await?;
/// for usr_id in [42, 43] {
///     SendEmailWelcome::enqueue(&mut tx, usr_id, None).await?;
/// }
/// let tasks = taskq::all_enqueued!(&mut tx, SendEmailWelcome { locale: None, .. });
/// let users: Vec<i64> = tasks.iter().map(|task| task.payload.usr_id).collect();
/// assert_eq!(users, [42, 43]);
/// # Ok(()) }
/// ```
///
/// # Panics
///
/// When a waiting task of the type and queue has a payload that does not decode: nobody can tell whether it is meant.
#[macro_export]
macro_rules! all_enqueued {
    ($conn:expr, $($asked:tt)+) => {
        $crate::__enqueued!(all, $conn, $($asked)+)
    };
}

/// Not public API.
#[doc(hidden)]
#[macro_export]
macro_rules! __enqueued {
    (@value $field:ident) => { $field };
    (@value $field:ident $value:expr) => { $value };
    (@text $field:ident) => { ::core::stringify!($field) };
    (@text $field:ident $value:expr) => { ::core::stringify!($value) };
    (@compare $differences:ident, $payload:ident, $field:ident, $expected:expr, $text:expr) => {
        match (&$payload.$field, &$expected) {
            (is, expected) => {
                if !(*is == *expected) {
                    let is = (&$crate::testing::Shown(is)).shown("another value");
                    let expected = (&$crate::testing::Shown(expected)).shown($text);
                    $differences.record(::core::stringify!($field), is, expected);
                }
            }
        }
    };
    (
        $verb:ident, $conn:expr,
        $($payload:ident)::+ { $($field:ident $(: $value:expr)?,)* .. }
        $(, $condition:ident = $is:expr)* $(,)?
    ) => {
        $crate::testing::__tasks::<$($payload)::+>($crate::testing::Conditions::default()$(.$condition($is))*)
            .found($conn)
            .await
            .$verb(
                |payload| {
                    #[allow(unused_imports)]
                    use $crate::testing::{ShownByDebug as _, ShownByText as _};
                    let _ = payload;
                    #[allow(unused_mut)]
                    let mut differences = $crate::testing::Differences::default();
                    $($crate::__enqueued!(
                        @compare differences, payload, $field,
                        $crate::__enqueued!(@value $field $($value)?),
                        $crate::__enqueued!(@text $field $($value)?)
                    );)*
                    differences
                },
                ::core::stringify!($($payload)::+ { $($field $(: $value)?,)* .. }),
            )
    };
    (
        $verb:ident, $conn:expr,
        $($payload:ident)::+ { $($field:ident $(: $value:expr)?),* $(,)? }
        $(, $condition:ident = $is:expr)* $(,)?
    ) => {{
        // Without `..` a field that is left out is a mistake, which this reports.
        let expected = $($payload)::+ { $($field $(: $value)?),* };
        $crate::testing::__tasks::<$($payload)::+>($crate::testing::Conditions::default()$(.$condition($is))*)
            .found($conn)
            .await
            .$verb(
                |payload| {
                    #[allow(unused_imports)]
                    use $crate::testing::{ShownByDebug as _, ShownByText as _};
                    let _ = (payload, &expected);
                    #[allow(unused_mut)]
                    let mut differences = $crate::testing::Differences::default();
                    $($crate::__enqueued!(
                        @compare differences, payload, $field, expected.$field,
                        $crate::__enqueued!(@text $field $($value)?)
                    );)*
                    differences
                },
                ::core::stringify!($($payload)::+ { $($field $(: $value)?),* }),
            )
    }};
}

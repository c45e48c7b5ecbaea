//! Where in the source a panic began, so that a row can tell.
//!
//! Only a panic hook is told the place. So the first worker of a process puts one before the hook that is there,
//! and calls that one. It notes the message beside the place: what is caught later may be another panic, that of
//! a spawned task which somebody resumes, and its place is not known.

use std::any::Any;
use std::cell::RefCell;
use std::panic;
use std::sync::Once;

thread_local! {
    /// The message and the place of the last panic on this thread.
    static LAST: RefCell<Option<(String, String)>> = const { RefCell::new(None) };
}

/// Has every further panic of this process note its place.
pub(crate) fn note_places() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let earlier = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if let Some(place) = info.location() {
                let place = format!("{}:{}", place.file(), place.line());
                // While a thread ends there may be nowhere to note it.
                let _ = LAST.try_with(|last| last.replace(Some((text(info.payload()), place))));
            }
            earlier(info);
        }));
    });
}

/// Returns what a panic said, and where it began if that was noted on this thread.
pub(crate) fn message(panic: &(dyn Any + Send)) -> String {
    let text = text(panic);
    match LAST.take() {
        Some((noted, place)) if noted == text => format!("panicked at {place}: {text}"),
        _ => format!("panicked: {text}"),
    }
}

fn text(panic: &dyn Any) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "with a value that is no text".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caught(panics: fn()) -> String {
        message(&*panic::catch_unwind(panics).expect_err("it panics"))
    }

    #[test]
    fn a_panic_tells_its_place_and_what_it_said() {
        note_places();
        let line = line!() + 1;
        let text = caught(|| panic!("out of {}", "luck"));
        assert_eq!(text, format!("panicked at {}:{line}: out of luck", file!()));
    }

    #[test]
    fn a_panic_that_began_elsewhere_is_not_given_the_place_of_another() {
        note_places();
        let earlier = panic::catch_unwind(|| panic!("one"));
        assert!(earlier.is_err());
        let text = caught(|| panic::resume_unwind(Box::new("another")));
        assert_eq!(text, "panicked: another");
        let text = caught(|| panic::resume_unwind(Box::new("one")));
        assert_eq!(text, "panicked: one");
    }
}

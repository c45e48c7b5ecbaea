//! Where in the source a panic began, so that a row can tell.
//!
//! Only a panic hook is told the place. So the first worker of a process puts one before the hook that is there,
//! and calls that one. It notes the message beside the place: what is caught later may be another panic, that of
//! a spawned task which somebody resumes, and its place is not known.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::RefCell;
use std::panic;
use std::sync::Once;
use std::thread;

use crate::error::PanicPlace;

thread_local! {
    /// The last panic on this thread.
    static LAST: RefCell<Option<Noted>> = const { RefCell::new(None) };
}

/// A panic, as the hook saw it.
struct Noted {
    text: String,
    file: String,
    line: u32,
    column: u32,
    backtrace: Backtrace,
}

/// Has every further panic of this process note its place.
pub(crate) fn note_places() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let earlier = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if let Some(place) = info.location() {
                let noted = Noted {
                    text: text(info.payload()),
                    file: place.file().to_owned(),
                    line: place.line(),
                    column: place.column(),
                    // Nothing unless the environment asks for it; the names of frames are looked up later.
                    backtrace: Backtrace::capture(),
                };
                // While a thread ends there may be nowhere to note it.
                let _ = LAST.try_with(|last| last.replace(Some(noted)));
            }
            earlier(info);
        }));
    });
}

/// Returns what a panic said, and where it began if that was noted on this thread.
pub(crate) fn message(panic: &(dyn Any + Send)) -> String {
    caught(panic).0
}

/// Returns what [`message`] does, and all that is known of the place.
pub(crate) fn caught(panic: &(dyn Any + Send)) -> (String, Option<PanicPlace>) {
    let text = text(panic);
    match LAST.take() {
        Some(noted) if noted.text == text => {
            let place = format!("{}:{}", noted.file, noted.line);
            let text = format!("panicked at {place}: {text}");
            (text, Some(noted.place()))
        }
        _ => (format!("panicked: {text}"), None),
    }
}

impl Noted {
    fn place(&self) -> PanicPlace {
        let is_captured = self.backtrace.status() == BacktraceStatus::Captured;
        let thread = thread::current();
        PanicPlace {
            at: format!("{}:{}:{}", self.file, self.line, self.column),
            thread: thread
                .name()
                .map_or_else(|| format!("{:?}", thread.id()), str::to_owned),
            backtrace: is_captured.then(|| self.backtrace.to_string()),
        }
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
    fn a_panic_tells_its_column_and_its_thread() {
        note_places();
        let panics = || {
            let line = line!() + 1;
            let panic = panic::catch_unwind(|| panic!("out of luck")).expect_err("it panics");
            (line, super::caught(&*panic).1.expect("it was noted"))
        };
        let thread = thread::Builder::new().name("its own".to_owned());
        let (line, place) = thread
            .spawn(panics)
            .expect("a thread")
            .join()
            .expect("caught");
        assert_eq!(place.at, format!("{}:{line}:48", file!()));
        assert_eq!(place.thread, "its own");
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

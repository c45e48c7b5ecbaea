//! What is written of an attempt that failed beside the text of its error: its levels, and where a panic began.
//!
//! Only what fails pays for it. The texts are searched for secret values as a whole, and then cut.

use std::error::Error;
use std::sync::LazyLock;

use serde::Serialize;

use crate::error::{AttemptReport, Panicked, levels};

/// How many bytes the levels of one error have together.
const MOST_OF_CHAIN: usize = 4_000;

/// How many bytes a backtrace has.
const MOST_OF_BACKTRACE: usize = 8_000;

/// How many bytes a place and the name of a thread have.
const MOST_OF_PLACE: usize = 400;

/// What `anyhow` writes between an error and its frames.
const BEFORE_FRAMES: &str = "\nStack backtrace:\n";

/// Frames with these in their names or places are the worker's: whatever called the handler stands below the first of them.
const OURS: [&str; 4] = [
    "taskq::private::",
    "taskq::worker::",
    "/src/private/handler.rs:",
    "__rust_begin_short_backtrace",
];

/// Frames of these are those of the panic itself, and those of the capture.
const PANICS: [&str; 7] = [
    "std::backtrace",
    "core::panicking::",
    "std::panicking::",
    "rust_begin_unwind",
    "__rustc::rust_begin_unwind",
    "taskq::attempt::panics::",
    "anyhow::",
];

impl AttemptReport {
    /// Tells of an error what its text does not. `hide` takes secret values out of a text.
    pub(crate) fn of(error: &(dyn Error + 'static), hide: impl Fn(String) -> String) -> Self {
        let place = error.downcast_ref().and_then(Panicked::place);
        let frames = match place {
            Some(place) => place.backtrace.clone(),
            None => frames_of(error),
        };
        let mut left = MOST_OF_CHAIN;
        let chain = levels(error).into_iter().map_while(|level| {
            let level = cut(storable(hide(level)), left);
            left = left.saturating_sub(level.len());
            (!level.is_empty()).then_some(level)
        });
        let short = |text: &String| cut(storable(hide(text.clone())), MOST_OF_PLACE);
        Self {
            chain: chain.collect(),
            panicked_at: place.map(|place| short(&place.at)),
            thread: place.map(|place| short(&place.thread)),
            backtrace: frames
                .map(|frames| cut(storable(hide(of_handler(&frames))), MOST_OF_BACKTRACE)),
            ..Self::default()
        }
    }

    /// Returns about how many bytes it has.
    pub(crate) fn size(&self) -> usize {
        let chain: usize = self.chain.iter().map(String::len).sum();
        chain + self.backtrace.as_ref().map_or(0, String::len)
    }
}

/// Returns how an attempt failed, as the tables have it: JSON.
pub(crate) fn failure(error: &str, report: Option<&AttemptReport>) -> String {
    #[derive(Serialize)]
    struct Failure<'a> {
        error: &'a str,
        #[serde(flatten)]
        report: Option<&'a AttemptReport>,
    }
    let failure = Failure { error, report };
    // Texts and times always are JSON.
    serde_json::to_string(&failure).unwrap_or_else(|_| "{\"error\":\"\"}".to_owned())
}

/// Returns the frames that an error has captured, where the process has that done. There is no name for them in std: they
/// stand in the text for people.
fn frames_of(error: &(dyn Error + 'static)) -> Option<String> {
    static ARE_CAPTURED: LazyLock<bool> = LazyLock::new(|| {
        let said = |name| std::env::var_os(name).map(|value| value != "0");
        said("RUST_LIB_BACKTRACE")
            .or_else(|| said("RUST_BACKTRACE"))
            .unwrap_or(false)
    });
    if !*ARE_CAPTURED {
        return None;
    }
    let text = format!("{error:?}");
    let (_, frames) = text.split_once(BEFORE_FRAMES)?;
    Some(frames.to_owned())
}

/// Returns the frames between the panic and the worker.
fn of_handler(frames: &str) -> String {
    let all = split(frames);
    let is_of = |frame: &str, names: &[&str]| {
        let name = frame.split_once(": ").map_or("", |(_, name)| name);
        let name = name.trim_start_matches('<');
        names.iter().any(|it| name.starts_with(it))
    };
    let end = all
        .iter()
        .position(|frame| OURS.iter().any(|ours| frame.contains(ours)));
    let kept = &all[..end.unwrap_or(all.len())];
    let start = kept.iter().rposition(|frame| is_of(frame, &PANICS));
    let kept = &kept[start.map_or(0, |start| start + 1)..];
    if kept.is_empty() {
        return frames.to_owned();
    }
    kept.concat().trim_end().to_owned()
}

/// Splits frames from one another: each begins with its number, and may have a line with its place.
fn split(frames: &str) -> Vec<&str> {
    let mut starts = Vec::new();
    let mut at = 0;
    for line in frames.split_inclusive('\n') {
        let number = line.trim_start().split_once(": ").map(|(number, _)| number);
        if number.is_some_and(|number| number.parse::<u32>().is_ok()) {
            starts.push(at);
        }
        at += line.len();
    }
    let ends = starts.iter().skip(1).copied().chain([frames.len()]);
    let places = starts.iter().copied().zip(ends);
    places.map(|(start, end)| &frames[start..end]).collect()
}

/// Neither text nor JSON in Postgres holds a zero byte.
fn storable(text: String) -> String {
    match text.contains('\0') {
        true => text.replace('\0', "\u{fffd}"),
        false => text,
    }
}

fn cut(mut text: String, most: usize) -> String {
    text.truncate(text.floor_char_boundary(most));
    text
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;
    use crate::error::BoxError;

    #[derive(Debug)]
    struct Level(String, Option<BoxError>);

    impl fmt::Display for Level {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(&self.0)
        }
    }

    impl Error for Level {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_ref().map(|source| &**source as _)
        }
    }

    fn of(error: &(dyn Error + 'static)) -> AttemptReport {
        AttemptReport::of(error, |text| text)
    }

    #[test]
    fn each_level_of_an_error_is_told_apart() {
        let below = Level("refused".to_owned(), None);
        let above = Level("cannot send".to_owned(), Some(below.into()));
        assert_eq!(of(&above).chain, ["cannot send", "refused"]);
    }

    #[test]
    fn an_error_without_a_source_has_no_chain() {
        assert_eq!(
            of(&Level("refused".to_owned(), None)),
            AttemptReport::default()
        );
    }

    #[test]
    fn a_chain_is_bounded_and_cut_after_secrets_were_hidden() {
        let secret = "4111222233334444";
        let mut error = Level(secret.repeat(300), None);
        for _ in 0..100 {
            error = Level(format!("{}{secret}", "x".repeat(3_990)), Some(error.into()));
        }
        let report = AttemptReport::of(&error, |text| text.replace(secret, "***"));
        let chain = report.chain.concat();
        assert_eq!(chain.len(), MOST_OF_CHAIN);
        assert!(!chain.contains("4111"), "{chain}");
    }

    #[test]
    fn frames_are_those_between_the_panic_and_the_worker() {
        let frames = "   0: std::backtrace::Backtrace::create
   1: taskq::attempt::panics::note_places::{{closure}}
             at ./taskq/src/attempt/panics.rs:30:9
   2: __rustc::rust_begin_unwind
   3: core::panicking::panic_fmt
             at /rustc/1/library/core/src/panicking.rs:1:1
   4: mail::send
             at ./src/mail.rs:12:9
   5: mail::handler::{{closure}}
             at ./src/mail.rs:20:5
   6: <core::pin::Pin<P> as core::future::future::Future>::poll
   7: <F as taskq::private::handler::Handler>::call
   8: taskq::worker::slot::run
";
        assert_eq!(
            of_handler(frames),
            "   4: mail::send
             at ./src/mail.rs:12:9
   5: mail::handler::{{closure}}
             at ./src/mail.rs:20:5
   6: <core::pin::Pin<P> as core::future::future::Future>::poll"
        );
    }

    #[test]
    fn frames_of_which_none_is_known_stay_as_they_are() {
        for frames in ["unsupported backtrace", "   0: taskq::worker::slot::run\n"] {
            assert_eq!(of_handler(frames), frames);
        }
    }

    #[test]
    fn what_is_stored_is_json_that_an_attempt_reads_back() {
        let report = AttemptReport {
            chain: vec!["one".to_owned(), "two".to_owned()],
            ..AttemptReport::default()
        };
        assert_eq!(
            failure("no \"luck\"", Some(&report)),
            r#"{"error":"no \"luck\"","chain":["one","two"]}"#
        );
        assert_eq!(failure("no", None), r#"{"error":"no"}"#);
    }
}

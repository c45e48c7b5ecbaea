//! What has just been done, as the next page says it. The page is told by a word in its address, and has the sentences.

use super::parameters::Parameters;
#[cfg(feature = "cron")]
use super::text::sentence;
#[cfg(feature = "cron")]
use crate::operate::schedules::{Removed, Upserted};

/// What has just been done.
pub(super) struct Said {
    pub(super) text: String,
    /// A schedule of which something was said that does not make up what it missed.
    pub(super) may_run: Option<String>,
}

/// Returns what has been done, by its word and the name of what it was done to.
pub(super) fn done(said: &Parameters) -> Option<Said> {
    let word = said.text("did")?;
    if let Some(name) = said.text("did-to") {
        return of_schedule(word, name);
    }
    let text = plain(word)?.to_owned();
    Some(Said {
        text,
        may_run: None,
    })
}

#[cfg(feature = "cron")]
fn of_schedule(word: &str, name: &str) -> Option<Said> {
    let text = match word {
        "declared" => Removed::Reset.said(name),
        "mended" => Removed::Mended.said(name),
        "changed" => Upserted::Changed.said(name),
        "corrected" => Upserted::Mended.said(name),
        "made" => Upserted::Created.said(name),
        "same" => Upserted::Unchanged.said(name),
        _ => return None,
    };
    Some(Said {
        text: format!("{}.", sentence(&text)),
        may_run: matches!(word, "declared" | "changed").then(|| name.to_owned()),
    })
}

#[cfg(not(feature = "cron"))]
fn of_schedule(_: &str, _: &str) -> Option<Said> {
    None
}

fn plain(word: &str) -> Option<&'static str> {
    let sentence = match word {
        "retry" => "The task waits to run.",
        "one" => {
            "This one waits to run, and here you see what becomes of it. The others are as they were."
        }
        "cancel" => "The task is cancelled.",
        "discard" => "The task is deleted.",
        "edit" => "The task waits to run with its new payload.",
        "enqueue" => "The task is enqueued.",
        "exists" => "Another task has the key already: nothing was enqueued. This is that task.",
        "replaced" => "A task had the key already, and has got this payload.",
        "back" => "Postgres has taken it back: it waits again.",
        "ended" => "The session has ended. What it had not committed is rolled back.",
        "forgotten" => "The worker is forgotten.",
        "pause" => "It is paused: nothing more of it starts.",
        "resume" => "The pause has ended. What waits starts again.",
        "awake" => "It was not paused.",
        "limit" => "The limit holds.",
        "reset" => "The limit is gone. What programs declare holds again.",
        "weight" => "The weight holds from the next claims on.",
        "skip" => "The sequence goes on without the task.",
        "run" => "The task of the schedule is enqueued. The schedule itself goes on as before.",
        "removed" => "The schedule is gone.",
        "absent" => "There was no such schedule.",
        "stop" => "The operation rests after the part that is under way.",
        "drop" => "What was frozen is forgotten. Nothing has happened to the tasks.",
        "known" => "It is acknowledged: it stays as it is, and is told below the others.",
        "all-known" => {
            "All settings are acknowledged: they stay as they are, and are told below the others."
        }
        "unknown" => "It counts as trouble again.",
        "unacknowledged" => "Nobody had acknowledged it.",
        "stopping" => "The worker has been asked to stop.",
        _ => return None,
    };
    Some(sentence)
}

//! What has just been done, as the next page says it. The page is told by a word in its address, and has the sentences.

/// Returns what has been done, by its word.
pub(super) fn done(word: &str) -> Option<String> {
    let sentence = match word {
        "retry" => "The task waits to run.",
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
        "run" => "The task of the schedule is enqueued.",
        "removed" => "The schedule is gone.",
        "declared" => {
            "The change is undone. What a program declares of the schedule holds again, from its next tick on. On the page Schedules you can run now what was missed, if it is still wanted."
        }
        "absent" => "There was no such schedule.",
        "stop" => "The operation rests after the part that is under way.",
        "drop" => "What was frozen is forgotten. Nothing has happened to the tasks.",
        "known" => "It is acknowledged: it stays as it is, and is told below the others.",
        "unknown" => "It counts as trouble again.",
        "unacknowledged" => "Nobody had acknowledged it.",
        "stopping" => "The worker has been asked to stop.",
        _ => return None,
    };
    Some(sentence.to_owned())
}

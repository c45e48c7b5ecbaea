//! What is known of a task that is nowhere.

use std::fmt;

use super::pause::Operator;
use crate::error::OperateError;
use crate::store::LastWordRow;

/// What is known of a task that is nowhere any more.
#[derive(Debug)]
pub(crate) struct Gone {
    task_id: i64,
    last_word: Option<LastWordRow>,
}

impl Operator {
    /// Tells what is known of a task that is nowhere.
    pub(crate) async fn gone(&self, task_id: i64) -> Result<Gone, OperateError> {
        let last_word = self.store().last_word(task_id).await;
        let last_word = last_word.map_err(|error| self.error(error))?;
        Ok(Gone { task_id, last_word })
    }
}

impl Gone {
    /// Tells whether it has completed, as far as can be known: an operator had it run, and nobody has deleted it by its id.
    #[cfg(feature = "dashboard")]
    pub(crate) fn has_completed(&self) -> bool {
        self.was_run().is_some()
    }

    /// Tells whether it can only have completed.
    #[cfg(feature = "dashboard")]
    pub(crate) fn has_surely_completed(&self) -> bool {
        self.was_run().is_some_and(|it| !it.perhaps_deleted)
    }

    /// Returns who had it run, if that was the last that anybody did to it.
    fn was_run(&self) -> Option<&LastWordRow> {
        let word = self.last_word.as_ref()?;
        matches!(
            &*word.verb,
            "retry" | "edit" | "enqueue" | "run" | "backfill"
        )
        .then_some(word)
    }
}

/// `task 7 is no longer there: it has completed since ada had it run (completed tasks of its type are not kept)`
impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let task_id = self.task_id;
        let gone = format!("task {task_id} is no longer there");
        match (&self.last_word, self.was_run()) {
            (_, Some(word)) if word.perhaps_deleted => write!(
                f,
                "{gone}: since {} had it run, it has completed and is not kept; or it has died, and was deleted with all that matched",
                word.by
            ),
            (_, Some(word)) => write!(
                f,
                "{gone}: it has completed since {} had it run (completed tasks of its type are not kept)",
                word.by
            ),
            (Some(word), None) if word.verb == "discard" => {
                write!(f, "{gone}: {} has deleted it", word.by)?;
                match &word.reason {
                    Some(reason) => write!(f, ": {reason}"),
                    None => Ok(()),
                }
            }
            _ => write!(
                f,
                "there is no task {task_id}: it has completed and was not kept, somebody has deleted it, or it never was"
            ),
        }
    }
}

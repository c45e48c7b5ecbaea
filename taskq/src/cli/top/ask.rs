//! Questions before a change, and what is done after a yes.

use ratatui::crossterm::event::KeyCode;
use uuid::Uuid;

use crate::cli::text::printable;
use crate::operate::bulk::BulkVerb;
use crate::operate::doctor::Ailment;
use crate::operate::moment::Moment;
use crate::operate::pause::{Queue, Scope, TaskType};
use crate::operate::remedy::Remedy;

/// What is to be done outside of the screen.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Effect {
    Nothing,
    Quit,
    /// Shows all that is stored of a task.
    Show(i64),
    /// Counts all that match, and asks then.
    Freeze(BulkVerb, String),
    /// Does what was frozen.
    Run(i64),
    /// Forgets it.
    Drop(i64),
    Pause(Scope, Option<String>),
    Cancel(i64, Option<String>),
    Stop(Uuid, Option<String>),
    /// Does what mends a trouble.
    Mend(Remedy, Option<String>),
    /// Says that a trouble is known, why, and until when.
    Acknowledge(Box<Ailment>, Option<String>, Option<Moment>),
}

/// Returns the start of an id, which names a worker well enough.
pub(super) fn short(id: Uuid) -> String {
    let mut id = id.to_string();
    id.truncate(8);
    id
}

/// What somebody is asked.
#[derive(Debug)]
pub(super) enum Asked {
    Pause {
        queue: String,
        task_type: String,
        is_paused: bool,
    },
    Cancel {
        task_id: i64,
        task_type: String,
    },
    Stop {
        worker_id: Uuid,
        place: String,
    },
    Bulk {
        bulk_id: i64,
        verb: BulkVerb,
        frozen: u64,
        filter: String,
    },
    /// What mends something that the doctor said.
    Mend {
        remedy: Remedy,
        said: String,
    },
}

/// A question, and what was answered so far.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) asked: Asked,
    pub(super) reason: String,
    /// Until when it holds; nothing: for good.
    pub(super) until: String,
    /// Whether that is what is written now, and not the reason.
    pub(super) is_at_until: bool,
    /// Whether it was no time that can be read.
    pub(super) is_no_time: bool,
    /// Of a pause: whether it is of the task type, and not of the queue.
    is_of_type: bool,
}

impl Ask {
    pub(super) fn of(asked: Asked) -> Self {
        Self {
            asked,
            reason: String::new(),
            until: String::new(),
            is_at_until: false,
            is_no_time: false,
            is_of_type: false,
        }
    }

    pub(super) fn pause(queue: String, task_type: String, is_paused: bool) -> Self {
        Self::of(Asked::Pause {
            queue,
            task_type,
            is_paused,
        })
    }

    /// Tells whether a reason can be written.
    pub(super) fn takes_reason(&self) -> bool {
        !matches!(self.asked, Asked::Bulk { .. })
    }

    /// Returns what is told below the question: what is wrong, or which tasks are meant.
    pub(super) fn about(&self) -> Option<&str> {
        match &self.asked {
            Asked::Bulk { filter, .. } => Some(filter),
            Asked::Mend { said, .. } => Some(said),
            _ => None,
        }
    }

    /// Tells whether it can be said until when.
    pub(super) fn takes_until(&self) -> bool {
        let Asked::Mend { remedy, .. } = &self.asked else {
            return false;
        };
        matches!(remedy, Remedy::Acknowledge(_))
    }

    pub(super) fn takes_other(&self) -> bool {
        matches!(self.asked, Asked::Pause { .. })
    }

    /// Returns the question.
    pub(super) fn question(&self) -> String {
        match &self.asked {
            Asked::Pause {
                queue,
                task_type,
                is_paused,
            } => {
                let verb = if *is_paused { "Resume" } else { "Pause" };
                match self.is_of_type {
                    true => format!("{verb} task type {}, in all queues?", printable(task_type)),
                    false => format!(
                        "{verb} queue {}, with all its task types?",
                        printable(queue)
                    ),
                }
            }
            Asked::Cancel { task_id, task_type } => {
                format!(
                    "Cancel task {task_id} of type {}? It runs.",
                    printable(task_type)
                )
            }
            Asked::Stop { worker_id, place } => format!(
                "Ask worker {}, {}, to stop? It hands back what does not end in time.",
                short(*worker_id),
                printable(place)
            ),
            Asked::Mend { remedy, .. } => {
                format!("{}? {}", printable(&remedy.label()), remedy.consequence())
            }
            Asked::Bulk { verb, frozen, .. } => {
                let does = match verb {
                    BulkVerb::Retry => "Retry",
                    BulkVerb::Discard => "Delete for good",
                    BulkVerb::Cancel => "Cancel",
                    BulkVerb::Reschedule => "Reschedule",
                };
                let tasks = if *frozen == 1 { "task" } else { "tasks" };
                format!("{does} {frozen} {tasks}?")
            }
        }
    }

    /// Takes a key, and returns what is to be done, and whether the question is answered.
    pub(super) fn press(&mut self, key: KeyCode) -> (Effect, bool) {
        let no = match &self.asked {
            Asked::Bulk { bulk_id, .. } => Effect::Drop(*bulk_id),
            _ => Effect::Nothing,
        };
        match key {
            KeyCode::Esc => (no, true),
            KeyCode::Tab | KeyCode::BackTab if self.takes_other() => {
                self.is_of_type = !self.is_of_type;
                (Effect::Nothing, false)
            }
            KeyCode::Tab | KeyCode::BackTab | KeyCode::Up | KeyCode::Down if self.takes_until() => {
                self.is_at_until = !self.is_at_until;
                (Effect::Nothing, false)
            }
            KeyCode::Enter if !self.until.trim().is_empty() && self.moment().is_none() => {
                (self.is_at_until, self.is_no_time) = (true, true);
                (Effect::Nothing, false)
            }
            KeyCode::Enter if self.takes_reason() => (self.yes(), true),
            KeyCode::Char(c) if self.takes_reason() => {
                self.written().push(c);
                (Effect::Nothing, false)
            }
            KeyCode::Backspace if self.takes_reason() => {
                self.written().pop();
                (Effect::Nothing, false)
            }
            KeyCode::Char('y' | 'Y') => (self.yes(), true),
            KeyCode::Char('n' | 'N' | 'q') => (no, true),
            _ => (Effect::Nothing, false),
        }
    }

    /// Returns what is written now.
    fn written(&mut self) -> &mut String {
        match self.is_at_until {
            true => {
                self.is_no_time = false;
                &mut self.until
            }
            false => &mut self.reason,
        }
    }

    fn moment(&self) -> Option<Moment> {
        Moment::read(self.until.trim())
    }

    fn yes(&self) -> Effect {
        let reason = self.reason.trim();
        let reason = (!reason.is_empty()).then(|| reason.to_owned());
        match &self.asked {
            Asked::Pause {
                queue,
                task_type,
                is_paused,
            } => {
                let scope: Scope = match self.is_of_type {
                    true => TaskType(task_type).into(),
                    false => Queue(queue).into(),
                };
                match is_paused {
                    true => Effect::Mend(Remedy::Resume(scope), reason),
                    false => Effect::Pause(scope, reason),
                }
            }
            Asked::Cancel { task_id, .. } => Effect::Cancel(*task_id, reason),
            Asked::Stop { worker_id, .. } => Effect::Stop(*worker_id, reason),
            Asked::Bulk { bulk_id, .. } => Effect::Run(*bulk_id),
            Asked::Mend {
                remedy: Remedy::Acknowledge(ailment),
                ..
            } => Effect::Acknowledge(ailment.clone(), reason, self.moment()),
            Asked::Mend { remedy, .. } => Effect::Mend(remedy.clone(), reason),
        }
    }
}

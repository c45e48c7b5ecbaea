//! Which tasks of a type run one after the other.

use super::limit::DeclaredLimit;

/// Of which tasks of a type one runs at a time, over all workers, in the order in which they were enqueued.
///
/// `#[task(sequence = order_id)]` and `#[task(sequence(order_id, region), on_dead = "skip")]` write it:
///
/// ```
/// use taskq::handler::TaskOptions;
/// use taskq::limit::{OnDead, Sequence};
///
/// const OPTIONS: TaskOptions =
///     TaskOptions::new().sequence(Sequence::by(&["order_id", "region"]).on_dead(OnDead::Skip));
/// ```
///
/// # What holds
///
/// Tasks of one key run in the order of their ids, and the next one starts when the one before has completed. It waits
/// while that one runs, waits for a retry, is snoozed or is due later, and whatever becomes of its worker. Other keys go
/// on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequence {
    pub(crate) key: &'static [&'static str],
    pub(crate) on_dead: OnDead,
}

/// What a sequence does when one of its tasks is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnDead {
    /// It waits, until somebody retries that task or has the sequence go on without it:
    /// [`Operator::skip_dead`](crate::operate::Operator::skip_dead). A task that its handler cancelled holds up nothing.
    #[default]
    Block,
    /// The next task starts.
    Skip,
}

impl Sequence {
    /// Has one task at a time run of each key, which these fields of the payload's JSON make.
    pub const fn by(fields: &'static [&'static str]) -> Self {
        Self {
            key: fields,
            on_dead: OnDead::Block,
        }
    }

    /// Says what happens when a task is dead.
    pub const fn on_dead(mut self, on_dead: OnDead) -> Self {
        self.on_dead = on_dead;
        self
    }

    /// Returns what the table of limits has of it, for a type with these other names.
    pub(crate) fn declared(&self, aliases: &'static [&'static str]) -> DeclaredLimit {
        DeclaredLimit::of_sequence(self.key, self.on_dead.word(), aliases)
    }
}

impl OnDead {
    fn word(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Skip => "skip",
        }
    }
}

//! Groups of tasks: what a handler knows of the one whose member it runs, or which has ended.

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::Attempt;
use super::metadata::Metadata;

/// The name under which the group travels whose member a task is.
pub(crate) const GROUP: &str = "task.group";

/// The name under which a group that has ended tells its task how.
const ENDED: &str = "group.ended";

/// Some tasks that belong together, and one that is enqueued when all of them have ended: see [`Group::begin`].
///
/// It is the id of a group. To know of the group again in another process, or later, [`of`](Self::of) makes it of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    pub(crate) group_id: i64,
}

impl Group {
    /// Makes it of the id of a group. Whether there is such a group, whoever adds to it or seals it will be told.
    pub fn of(group_id: i64) -> Self {
        Self { group_id }
    }

    /// Returns the id of the group.
    pub fn group_id(self) -> i64 {
        self.group_id
    }
}

/// How the members of a group ended, as the task is told that was enqueued then: see [`Attempt::group_ended`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct GroupEnded {
    /// The id of the group. `taskq.group_member` tells by it which tasks its members were.
    pub group_id: i64,
    /// When the group was begun.
    pub created_at: DateTime<Utc>,
    /// How many members it had: as many as all that follow together.
    pub members: u64,
    /// How many completed.
    pub completed: u64,
    /// How many were discarded: they failed for the last time, or their handlers gave them up.
    pub discarded: u64,
    /// How many were cancelled, by their handlers or by operators.
    pub cancelled: u64,
    /// How many had a payload that did not decode.
    pub invalid: u64,
    /// How many were set aside because their workers kept vanishing.
    pub quarantined: u64,
    /// How many were not started in time.
    pub expired: u64,
    /// How many were nowhere any more: somebody had deleted their rows.
    pub deleted: u64,
}

impl GroupEnded {
    /// Tells whether all members completed. It holds of a group of none too.
    pub fn all_completed(&self) -> bool {
        self.completed == self.members
    }
}

impl Attempt {
    /// Returns the group of which this task is a member, so that its handler can add others; `None` if it is of none.
    ///
    /// The group does not end while the handler runs, and what the handler has added before it returns holds it open.
    ///
    /// ```
    /// use sqlx::PgConnection;
    ///
    /// #[taskq::task]
    /// async fn crawl(
    ///     tx: &mut PgConnection,
    ///     attempt: &taskq::Attempt,
    ///     page: u32,
    /// ) -> Result<(), taskq::EnqueueError> {
    ///     if let Some(group) = attempt.group().filter(|_| page < 10) {
    ///         Crawl::enqueue(tx, page + 1).group(group).await?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn group(&self) -> Option<Group> {
        let group_id = self.metadata.get(GROUP)?.as_i64()?;
        Some(Group::of(group_id))
    }

    /// Returns how the members of the group ended whose task this is; `None` if it is the task of none.
    ///
    /// ```
    /// use taskq::Attempt;
    ///
    /// #[taskq::task]
    /// async fn tell_sender(attempt: &Attempt, newsletter_id: i64) -> Result<(), String> {
    ///     let ended = attempt.group_ended().ok_or("not the task of a group")?;
    ///     println!("{newsletter_id}: {} of {} sent", ended.completed, ended.members);
    ///     Ok(())
    /// }
    /// ```
    pub fn group_ended(&self) -> Option<GroupEnded> {
        GroupEnded::deserialize(self.metadata.get(ENDED)?).ok()
    }
}

impl Metadata {
    /// Tells whether the task is a member of a group.
    pub(crate) fn is_of_group(&self) -> bool {
        self.get(GROUP).is_some()
    }
}

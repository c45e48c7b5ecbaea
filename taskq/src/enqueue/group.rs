//! Beginning a group, and saying that all of its members are there.

use sqlx::PgConnection;

use super::by_sql;
use super::new_task::{NewTask, UntypedTask};
use super::refusal::refused_by_table;
use crate::attempt::group::Group;
use crate::error::EnqueueError;
use crate::json;
use crate::store::{Schema, Store};
use crate::task::payload::Payload;

impl Group {
    /// Begins a group in the caller's transaction. When it is sealed and all its members have ended, its task is
    /// enqueued: exactly once, in the transaction in which the last member ends, also if there are none. Its handler
    /// is told by [`Attempt::group_ended`](crate::Attempt::group_ended) how they ended.
    ///
    /// What is said of the task holds when it is enqueued: a `delay` counts from then, and so does a key. If the key is
    /// another task's then, the enqueue does what its `on_conflict` says, and the group has ended all the same.
    ///
    /// ```no_run
    /// use taskq::Group;
    ///
    /// # #[taskq::task] async fn send_mail(usr_id: i64) {}
    /// # #[taskq::task] async fn tell_sender(newsletter_id: i64) {}
    /// # async fn f(pool: &sqlx::PgPool, users: Vec<i64>) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut tx = pool.begin().await?;
    /// let group = Group::begin(&mut tx, TellSender { newsletter_id: 7 }).await?;
    /// for usr_id in users {
    ///     SendMail::enqueue(&mut tx, usr_id).group(group).await?;
    /// }
    /// group.seal(&mut tx).await?;
    /// tx.commit().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// A member has ended when it has completed, or is dead in whatever way. One that is to be retried, is snoozed, was
    /// rescued or is refused has not. The first end counts: a dead member that an operator has run again later is not
    /// waited for, and its group's task does not run again.
    ///
    /// # Errors
    ///
    /// As [`enqueue`](fn@crate::enqueue).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future while it runs leaves open whether the group was begun. It is in the caller's transaction, so
    /// roll that back.
    pub async fn begin<P: Payload>(
        conn: &mut PgConnection,
        task: impl Into<NewTask<P>>,
    ) -> Result<Self, EnqueueError> {
        Schema::default().begin_group(conn, task).await
    }

    /// Says that all members are there, once the caller's transaction commits. Until then the group does not end,
    /// whatever becomes of those that are there. From then on only members that run may add others.
    ///
    /// Said twice it holds as well.
    ///
    /// # Errors
    ///
    /// [`EnqueueError::Group`] if there is no such group; [`EnqueueError::Database`].
    ///
    /// # Cancel safety
    ///
    /// As [`begin`](Self::begin).
    pub async fn seal(self, conn: &mut PgConnection) -> Result<(), EnqueueError> {
        Schema::default().seal_group(conn, self).await
    }
}

impl Schema {
    /// Begins a group in this schema: see [`Group::begin`].
    ///
    /// # Errors
    ///
    /// As [`Group::begin`].
    ///
    /// # Cancel safety
    ///
    /// As [`Group::begin`].
    pub async fn begin_group<P: Payload>(
        self,
        conn: &mut PgConnection,
        task: impl Into<NewTask<P>>,
    ) -> Result<Group, EnqueueError> {
        let UntypedTask {
            task_type,
            mut options,
            payload,
            ..
        } = task.into().task;
        if options.group.is_some() {
            return Err(EnqueueError::Option {
                option: "group",
                problem: "is of members: the task of a group is a member of none, as that may have ended before it is enqueued".into(),
            });
        }
        options.write_secret(task_type.options);
        options.check(task_type.options)?;
        let mut said = by_sql::options(&task_type, &options);
        // Of the time when it is enqueued; what its type declares, a worker knows.
        if let Some(expires) = options.expires {
            said.insert("expires".into(), expires.as_secs_f64().into());
        }
        let payload = payload?;
        let mut store = Store::on(conn, self);
        let begun = store.begin_group(task_type.name, &payload, said.into());
        let begun = begun.await;
        let group_id = begun.map_err(|error| {
            refused_by_table(task_type.name, error, || {
                (None, json::stored_size(&payload))
            })
        })?;
        Ok(Group { group_id })
    }

    /// Says of a group in this schema that all its members are there: see [`Group::seal`].
    ///
    /// # Errors
    ///
    /// As [`Group::seal`].
    ///
    /// # Cancel safety
    ///
    /// As [`Group::seal`].
    pub async fn seal_group(
        self,
        conn: &mut PgConnection,
        group: Group,
    ) -> Result<(), EnqueueError> {
        let sealed = Store::on(conn, self).seal_group(group.group_id).await;
        sealed.map_err(|error| refused_by_table("", error, || (None, 0)))
    }
}

//! What an enqueue says of its task: one list of methods, for [`Enqueue`](super::Enqueue) and [`NewTask`](super::NewTask).

/// Writes the methods. The type has a method `with`, which changes its [`EnqueueOptions`](crate::task::options::EnqueueOptions).
macro_rules! said_of_a_task {
    () => {
        /// Puts the task in this queue, in place of the one that its type names.
        pub fn queue(self, queue: impl Into<String>) -> Self {
            let queue = queue.into();
            self.with(|options| options.queue = Some(queue))
        }

        /// Sets the priority, in place of the one that its type names. Smaller runs earlier.
        pub fn priority(self, priority: i16) -> Self {
            self.with(|options| options.priority = Some(priority))
        }

        /// Sets how often the task is attempted at most, in place of what its type says; at least 1.
        pub fn max_attempts(self, max_attempts: u16) -> Self {
            self.with(|options| options.max_attempts = Some(max_attempts))
        }

        /// Runs the task no earlier than `delay` from when it is enqueued, by the clock of the database: from the
        /// beginning of that transaction.
        pub fn delay(self, delay: ::std::time::Duration) -> Self {
            self.with(|options| options.start = $crate::task::start::Start::After(delay))
        }

        /// Runs the task no earlier than `run_at`.
        pub fn run_at(self, run_at: ::chrono::DateTime<::chrono::Utc>) -> Self {
            self.with(|options| options.start = $crate::task::start::Start::At(run_at))
        }

        /// Has the task run only if it starts within `expires` after it is due, in place of what its type says. Otherwise it
        /// goes to `taskq.dead` as `expired`, without an error. Its retries count from the same time.
        ///
        /// ```no_run
        /// # use std::time::Duration;
        /// # #[taskq::task] async fn send_code(usr_id: i64) {}
        /// # async fn f(tx: &mut sqlx::PgConnection) -> Result<(), taskq::EnqueueError> {
        /// SendCode::enqueue(tx, 42).expires(Duration::from_secs(600)).await?;
        /// # Ok(()) }
        /// ```
        pub fn expires(self, expires: ::std::time::Duration) -> Self {
            self.with(|options| options.expires = Some(expires))
        }

        /// Says something of the task beside its payload, under a name: who asked for it, a trace. The handler
        /// reads it with [`Attempt::metadata`](crate::Attempt::metadata), and it stays with the task wherever
        /// that goes. All metadata of a task may have 64 KiB of JSON.
        ///
        /// ```no_run
        /// # #[taskq::task] async fn send_email_welcome(usr_id: i64) {}
        /// # async fn f(tx: &mut sqlx::PgConnection) -> Result<(), taskq::EnqueueError> {
        /// SendEmailWelcome::enqueue(tx, 42).metadata("request_id", "7f3a").await?;
        /// # Ok(()) }
        /// ```
        pub fn metadata(
            self,
            name: impl Into<String>,
            value: impl Into<::serde_json::Value>,
        ) -> Self {
            let (name, value) = (name.into(), value.into());
            self.with(|options| options.metadata.set(name, value))
        }

        /// Says that one task of each key may be there, in place of what its type says: see [`Unique`](crate::unique::Unique).
        pub fn unique(self, unique: $crate::unique::Unique) -> Self {
            self.with(|options| options.unique.get_or_insert_default().unique = Some(unique))
        }

        /// Sets the key of which one task of this type may be there, in place of one by the payload: see
        /// [`Unique`](crate::unique::Unique).
        ///
        /// ```no_run
        /// # #[taskq::task] async fn send_email_welcome(usr_id: i64) {}
        /// # async fn f(tx: &mut sqlx::PgConnection) -> Result<(), taskq::EnqueueError> {
        /// SendEmailWelcome::enqueue(tx, 42).unique_key("welcome:42").await?;
        /// # Ok(()) }
        /// ```
        pub fn unique_key(self, key: impl Into<String>) -> Self {
            let key = key.into();
            self.with(|options| options.unique.get_or_insert_default().key = Some(key))
        }

        /// Waits for quiet: runs the task when no other with its key was enqueued for so long, with the payload that came
        /// last, and at the latest ten times as long after the first. [`OnConflict::PushBack`] says another time.
        ///
        /// ```no_run
        /// # #[taskq::task] async fn index_document(document_id: i64) {}
        /// # async fn f(tx: &mut sqlx::PgConnection) -> Result<(), taskq::EnqueueError> {
        /// IndexDocument::enqueue(tx, 42).debounce(std::time::Duration::from_secs(5)).await?;
        /// # Ok(()) }
        /// ```
        ///
        /// [`OnConflict::PushBack`]: crate::unique::OnConflict::PushBack
        pub fn debounce(self, delay: ::std::time::Duration) -> Self {
            self.with(|options| {
                options.start = $crate::task::start::Start::After(delay);
                options.unique.get_or_insert_default().debounce = Some(delay);
            })
        }

        /// Waits no longer than so long for another transaction that has the key and is still open. Then it fails with
        /// [`EnqueueError::Busy`](crate::EnqueueError::Busy). Without this it waits for the end of that transaction.
        ///
        /// ```no_run
        /// # use std::time::Duration;
        /// # use taskq::EnqueueError;
        /// # #[taskq::task(unique = "payload")] async fn index_document(document_id: i64) {}
        /// # async fn f(tx: &mut sqlx::PgConnection) -> Result<(), EnqueueError> {
        /// match IndexDocument::enqueue(tx, 42).busy_after(Duration::from_secs(2)).await {
        ///     Err(EnqueueError::Busy { .. }) => println!("somebody else is about to"),
        ///     enqueued => println!("task {}", enqueued?.task_id),
        /// }
        /// # Ok(()) }
        /// ```
        pub fn busy_after(self, wait: ::std::time::Duration) -> Self {
            self.with(|options| options.unique.get_or_insert_default().busy_after = Some(wait))
        }

        /// Has the task be a member of a group, if it is created: the group waits for no task that had the key already.
        ///
        /// What the enqueue then does is one statement as before, and it locks the group only while the caller's transaction
        /// commits. Add members before the group is sealed, or from a member that runs: after the group has ended the enqueue
        /// fails with [`EnqueueError::Group`](crate::EnqueueError::Group), or the commit does, if the group ends in between.
        ///
        /// ```no_run
        /// # #[taskq::task] async fn send_email_welcome(usr_id: i64) {}
        /// # async fn f(tx: &mut sqlx::PgConnection, group: taskq::Group) -> Result<(), taskq::EnqueueError> {
        /// SendEmailWelcome::enqueue(tx, 42).group(group).await?;
        /// # Ok(()) }
        /// ```
        pub fn group(self, group: $crate::Group) -> Self {
            self.with(|options| options.set_group(group))
        }
    };
}

pub(super) use said_of_a_task;

//! Building a worker: settings, state, handlers, and the checks that let it start.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;

use super::Worker;
use super::drain::{self, Drain, Drained};
use super::requirements::{checked, linked_registrations, prepare_tables, require_connections};
use super::settings::Settings;
#[cfg(feature = "testing")]
use super::shared::Core;
#[cfg(feature = "testing")]
use super::{InlineError, inline};
use crate::attempt::state::States;
#[cfg(feature = "testing")]
use crate::attempt::tx::Tx;
#[cfg(feature = "encryption")]
use crate::cipher::Keys;
use crate::error::WorkerError;
use crate::faults::drain_limit;
use crate::hooks::Hook;
use crate::operate::check::{self, CheckReport};
use crate::store::Schema;
use crate::task::declaration::Task;
use crate::task::payload::Payload;
use crate::task::registration::{Registration, TaskSet};
use crate::task::registry::Registry;

/// Builds a [`Worker`]. Made by [`Worker::builder`].
#[derive(Debug)]
#[must_use = "a worker runs only when it is built and run"]
pub struct WorkerBuilder {
    pool: PgPool,
    settings: Settings,
    states: States,
    only: Option<Vec<Registration>>,
}

impl Worker {
    /// Starts to build a worker on this pool.
    pub fn builder(pool: PgPool) -> WorkerBuilder {
        WorkerBuilder::new(pool)
    }
}

impl WorkerBuilder {
    fn new(pool: PgPool) -> Self {
        let mut states = States::default();
        states.insert(Arc::new(pool.clone()));
        Self {
            pool,
            settings: Settings::default(),
            states,
            only: None,
        }
    }

    /// Gives the worker a value that handlers borrow as `&T`. A second value of one type replaces
    /// the first.
    ///
    /// A handler with `&PgPool` borrows the worker's own pool unless another is given here.
    pub fn state<T: Send + Sync + 'static>(self, state: T) -> Self {
        self.state_arc(Arc::new(state))
    }

    /// Gives the worker a shared value that handlers borrow as `&T`, which may be a trait object:
    /// `.state_arc::<dyn Mailer>(Arc::new(smtp))` for handlers that take `&dyn Mailer`.
    pub fn state_arc<T: ?Sized + Send + Sync + 'static>(mut self, state: Arc<T>) -> Self {
        self.states.insert(state);
        self
    }

    /// Gives the worker a value that the handler of one task type borrows as `&S`, in the place of what
    /// [`state`](Self::state) gives the others.
    ///
    /// ```no_run
    /// struct Smtp { host: String }
    ///
    /// #[taskq::task]
    /// async fn send_receipt(smtp: &Smtp, usr_id: i64) {}
    ///
    /// #[taskq::task]
    /// async fn send_newsletter(smtp: &Smtp, usr_id: i64) {}
    ///
    /// # fn worker(pool: sqlx::PgPool) -> taskq::WorkerBuilder {
    /// taskq::Worker::builder(pool)
    ///     .state(Smtp { host: "smtp.example.com".into() })
    ///     .state_for::<SendNewsletter, _>(Smtp { host: "bulk.example.com".into() })
    /// # }
    /// ```
    ///
    /// [`build`](Self::build) refuses a state that the handler does not borrow.
    pub fn state_for<T: Task, S: Send + Sync + 'static>(self, state: S) -> Self {
        self.state_arc_for::<T, S>(Arc::new(state))
    }

    /// Gives the worker a shared value that the handler of one task type borrows, which may be a trait object:
    /// `.state_arc_for::<SendNewsletter, dyn Mailer>(Arc::new(bulk))`. See [`state_for`](Self::state_for).
    pub fn state_arc_for<T: Task, S: ?Sized + Send + Sync + 'static>(
        mut self,
        state: Arc<S>,
    ) -> Self {
        let (task_type, borrowed) = (T::Payload::TASK_TYPE, T::DECLARATION.states);
        self.states.insert_for(task_type, borrowed, state);
        self
    }

    /// Has the worker call a [`Hook`] around the attempts that it [wants](Hook::wants), after those that were given before: at
    /// most 32. A hook that is shared, or of a type not known here, may be an `Arc<dyn Hook>`.
    pub fn hook(mut self, hook: impl Hook) -> Self {
        self.settings.hooks.add(hook);
        self
    }

    /// Works on this queue too, with at most `concurrency` of its tasks at once.
    ///
    /// A worker that is given no queue works on `default` and on every queue that its handlers declare, each
    /// with [`defaults::CONCURRENCY`](crate::defaults::CONCURRENCY). A worker that is given some works on
    /// those alone.
    pub fn queue(mut self, queue: impl Into<String>, concurrency: usize) -> Self {
        self.settings.queues.push((queue.into(), concurrency));
        self
    }

    /// Runs these tasks only, in place of all that are linked into the program:
    /// `.only::<(SendEmailWelcome, Purge)>()`, and `.only::<(Purge,)>()` for a single one.
    pub fn only<S: TaskSet>(mut self) -> Self {
        self.only = Some(S::__registrations());
        self
    }

    /// Works on the tables of another schema than `taskq`.
    pub fn schema(mut self, schema: Schema) -> Self {
        self.settings.schema = schema;
        self
    }

    /// Sets how long this worker may be silent before others take its tasks; 30 seconds unless
    /// set. A heartbeat is sent four times in that time. Tasks of a killed process
    /// wait until it is over and a worker looks, which is up to half as long again. It is also the longest
    /// that the database may be away without handlers being stopped.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = lease;
        self
    }

    /// Sets how often an idle worker scans for tasks by itself; every 10 seconds unless set.
    /// Enqueues wake a worker that listens, so this is its backstop.
    pub fn poll_interval(mut self, poll_interval: Duration) -> Self {
        self.settings.poll_interval = poll_interval;
        self
    }

    /// Chooses whether enqueues wake the worker through `LISTEN`, as they do unless set. Without,
    /// it finds tasks by polling alone: for a connection pooler in transaction mode, through which
    /// `LISTEN` does not work.
    pub fn listen(mut self, listen: bool) -> Self {
        self.settings.listen = listen;
        self
    }

    /// Sets how long running handlers may go on when the worker is asked to stop; 25 seconds
    /// unless set. What has not ended then is dropped and its task handed back.
    pub fn grace_period(mut self, grace_period: Duration) -> Self {
        self.settings.grace_period = grace_period;
        self
    }

    /// Sets how often the worker counts the waiting tasks that no worker serves, and logs them;
    /// 5 minutes unless set. It does so once at start.
    pub fn census_interval(mut self, census_interval: Duration) -> Self {
        self.settings.census_interval = census_interval;
        self
    }

    /// Chooses how the first attempt of a task goes on with the trace of its enqueue; as its child unless set.
    #[cfg(feature = "otel")]
    pub fn trace(mut self, trace: crate::Trace) -> Self {
        self.settings.trace = trace;
        self
    }

    /// Chooses whether completed tasks are kept, in `taskq.history`. Unless set they are gone, and
    /// only tasks that failed for good are kept, and those whose type asks for it
    /// ([`Declaration::keep`](crate::handler::Declaration::keep)).
    pub fn keep_completed(mut self, keep_completed: bool) -> Self {
        self.settings.keep_completed = keep_completed;
        self
    }

    /// Sets how long completed tasks stay in the history at least; 7 days unless set. A worker that
    /// keeps some drops the days that ended longer ago, once an hour, whoever has put them there.
    pub fn history_retention(mut self, history_retention: Duration) -> Self {
        self.settings.history_retention = history_retention;
        self
    }

    /// Has waiting improve the priority of tasks: by one for each `step` that the first task of their type has been
    /// due, as far as the best priority that has something due. Then both are served in equal parts, so that urgent
    /// tasks come no later than that, and the others are not left. Unless set, priorities are strict.
    ///
    /// Each worker computes it when it chooses what to claim; nothing is written. A task of priority 10 starts within
    /// ten steps beside a stream of tasks of priority 0 that alone would fill the worker.
    pub fn priority_ageing(mut self, step: Duration) -> Self {
        self.settings.priority_ageing = Some(step);
        self
    }

    /// Says what this version of the program is called, such as `1.4.2` or the id of a commit: 1 to 200 bytes. Lists of workers
    /// show it, so that a deploy can be seen; nothing else depends on it.
    pub fn release(mut self, release: impl Into<String>) -> Self {
        self.settings.release = Some(release.into());
        self
    }

    /// Gives the worker keys of its own for encrypted fields, in place of those that
    /// [`encryption::install`](crate::encryption::install) has given the process.
    ///
    /// A task whose key it does not have waits, uncharged, for a worker that has it: for 15 seconds at first, and then for
    /// up to 5 minutes. What does not decrypt is set aside as `invalid`.
    #[cfg(feature = "encryption")]
    pub fn keys(mut self, keys: Keys) -> Self {
        self.settings.keys = Some(Arc::new(keys));
        self
    }

    /// Makes the worker, or says why it must not start.
    ///
    /// # Errors
    ///
    /// See [`WorkerError`]: two handlers with one name, missing state, a setting out of range, a
    /// pool too small for the concurrency, or tables that are missing or of another version.
    ///
    /// # Cancel safety
    ///
    /// Nothing is written but the sequence of ids, where it is behind. So the future may be dropped at any time.
    pub async fn build(self) -> Result<Worker, WorkerError> {
        let Self {
            pool,
            settings,
            states,
            only,
        } = self;
        let (settings, registry) = checked(settings, &states, only)?;
        require_connections(&pool, &settings, &registry)?;
        let installation_id = prepare_tables(&pool, settings.schema, &registry).await?;
        if cfg!(panic = "abort") {
            tracing::warn!(
                "this program is compiled with `panic = \"abort\"`: a handler that panics ends the process and everything that runs in it, and its task is charged with a crash; remove that line from the profile in Cargo.toml"
            );
        }
        let worker = Worker::new(pool, settings, states, registry, installation_id);
        worker.prepare().await;
        Ok(worker)
    }

    /// Asks, before a deploy, which of the tasks in the tables this worker would not run.
    ///
    /// The check decodes every waiting task, due or not yet, of every queue, and every running task, which
    /// may wait again. It decodes as the worker does, with older versions and
    /// [`Payload::validate`](crate::Payload::validate). It leaves out tasks that are dead or completed, and
    /// says nothing of state, queues and the size of the pool: [`build`](Self::build) does. With the feature `cron` it
    /// also reads the schedules that were said at run time, and names those that this worker could not follow, or whose
    /// tasks it would not run.
    ///
    /// The check changes nothing. It reads pages of at most 250 tasks and 4 MiB of stored payloads, running
    /// tasks by lease, each page in a read-only transaction of its own on the same connection, and has one
    /// payload in memory at a time. It needs the rights to read `taskq.task`, `taskq.lease` and
    /// `taskq.migration`, and with the feature `cron` `taskq.schedule` and `taskq.schedule_definition`. Workers go on meanwhile: the check leaves out a task that is enqueued after it
    /// began, and may see a task that moves meanwhile twice, or not at all.
    ///
    /// ```no_run
    /// # async fn run(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
    /// let report = taskq::Worker::builder(pool).check().await?;
    /// for finding in &report.findings {
    ///     let taskq::operate::Finding { task_type, reason, count, task_ids, .. } = finding;
    ///     println!("{task_type}: {count}, such as {task_ids:?}: {reason:?}");
    /// }
    /// assert!(report.is_clean(), "{} tasks would not run", report.stranded);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// See [`WorkerError`]: two handlers with one name, or tables that are missing, of another version or
    /// out of reach. A task that would not run is no error: it is in the report.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future rolls back the page under way. The tables are only read.
    pub async fn check(&self) -> Result<CheckReport, WorkerError> {
        check::check(&self.pool, self.settings.schema, &self.registry()?).await
    }
}

#[cfg(feature = "cli")]
impl WorkerBuilder {
    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Returns the keys that its worker would decrypt with.
    #[cfg(all(feature = "encryption", feature = "cli"))]
    pub(crate) fn keys_in_force(&self) -> Option<Arc<Keys>> {
        self.settings.keys.clone().or_else(crate::cipher::installed)
    }

    pub(crate) fn tables(&self) -> Schema {
        self.settings.schema
    }

    /// Speaks through another pool.
    #[cfg(feature = "cli")]
    pub(crate) fn with_pool(self, pool: PgPool) -> Self {
        Self { pool, ..self }
    }
}

impl WorkerBuilder {
    /// Has the worker run what is due, `most` tasks at the most, until nothing is.
    #[cfg_attr(not(feature = "testing"), expect(dead_code, reason = "tests drain"))]
    pub(crate) async fn drain(mut self, most: usize) -> Result<Drained, WorkerError> {
        self.settings.listen = false;
        self.settings.poll_interval = drain::PERIOD;
        // Once it has drained, nothing runs.
        self.settings.grace_period = Duration::ZERO;
        let drain = Arc::new(Drain::new(most));
        self.settings.drain = Some(drain.clone());
        self.build()
            .await?
            .run_until(drain.is_done(drain_limit(drain::LIMIT)))
            .await?;
        Ok(drain.end())
    }

    /// Runs in the caller's transaction what is due, `most` tasks at the most, until nothing is.
    #[cfg(feature = "testing")]
    pub(crate) async fn drain_in(
        mut self,
        tx: &mut Tx,
        most: usize,
    ) -> Result<Drained, InlineError> {
        self.settings.listen = false;
        self.settings.poll_interval = drain::PERIOD;
        let drain = Arc::new(Drain::new(most));
        self.settings.drain = Some(drain.clone());
        let checked = checked(self.settings, &self.states, self.only);
        let (mut settings, registry) = checked.map_err(InlineError::Worker)?;
        // One after the other, so each sees what those before it have done.
        settings.queues.iter_mut().for_each(|(_, most)| *most = 1);
        let installation_id = inline::prepare(tx, settings.schema, &registry).await?;
        let (pool, states) = (self.pool, self.states);
        let core = Arc::new(Core::new(pool, settings, states, registry, installation_id));
        inline::run(&core, &drain, tx, drain_limit(drain::LIMIT)).await
    }

    /// Returns the handlers that it was told of, if not all that are linked into the program.
    #[cfg(all(feature = "cli", feature = "dashboard"))]
    pub(crate) fn chosen_handlers(&self) -> Option<Vec<Registration>> {
        self.only.clone()
    }

    /// Returns the handlers that the worker would have, in order.
    pub(crate) fn registry(&self) -> Result<Registry, WorkerError> {
        Registry::new(self.only.clone().unwrap_or_else(linked_registrations))
    }
}

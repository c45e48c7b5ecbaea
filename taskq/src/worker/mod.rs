//! The worker as its users see it.

mod beats;
mod blocked;
mod builder;
mod cancel;
mod claim;
mod clock;
mod counters;
#[cfg_attr(not(feature = "testing"), expect(dead_code, reason = "tests drain"))]
mod drain;
pub(crate) mod events;
mod health;
mod held;
mod hooks;
#[cfg(feature = "testing")]
mod inline;
mod limits;
#[cfg(feature = "log")]
mod lines;
mod listen;
#[cfg(feature = "metrics")]
pub mod metrics;
mod minutes;
mod notes;
mod operators;
mod outcomes;
mod pauses;
mod places;
mod release;
mod requirements;
mod run;
#[cfg(feature = "cron")]
mod schedules;
mod settings;
mod shared;
mod shutdown;
mod slot;
mod tell;
mod trouble;
mod upkeep;

use std::sync::Arc;

use sqlx::PgPool;
use tracing::Instrument;
use uuid::Uuid;

pub use self::builder::WorkerBuilder;
#[cfg(feature = "testing")]
pub(crate) use self::drain::{Drained, LIMIT as DRAIN_LIMIT};
use self::events::Events;
pub use self::health::Health;
#[cfg(feature = "testing")]
pub(crate) use self::inline::InlineError;
#[cfg(feature = "dashboard")]
pub(crate) use self::requirements::linked_registrations;
use self::settings::Settings;
use self::shared::Core;
pub use self::shutdown::{NextSignal, StopNow, shutdown_signal};
use crate::attempt::state::States;
use crate::error::WorkerError;
use crate::task::registry::Registry;

/// Runs tasks: claims what is due, decodes each row into its handler, and records what becomes of it.
///
/// Any number of workers, in any number of processes, work on the same tables; none of them runs
/// what another has claimed. A worker claims only task types that it knows.
///
/// ```no_run
/// # use sqlx::PgPool;
/// #[taskq::task(queue = "mail")]
/// async fn send_email_welcome(usr_id: i64) -> Result<(), std::io::Error> {
///     println!("welcome, user {usr_id}");
///     Ok(())
/// }
///
/// # async fn run(pool: PgPool) -> Result<(), Box<dyn std::error::Error>> {
/// taskq::migrate(&pool).await?;
/// taskq::Worker::builder(pool)
///     .queue("mail", 20)
///     .build()
///     .await?
///     .run_until(taskq::shutdown_signal())
///     .await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Worker {
    core: Arc<Core>,
}

impl Worker {
    pub(crate) fn new(
        pool: PgPool,
        settings: Settings,
        states: States,
        registry: Registry,
        installation_id: Uuid,
    ) -> Self {
        let core = Core::new(pool, settings, states, registry, installation_id);
        Self {
            core: Arc::new(core),
        }
    }

    /// Learns what handlers with a transaction need to know of new connections, so that the first of them need not
    /// wait for that. It is tried again where that fails.
    pub(crate) async fn prepare(&self) {
        let core = &self.core;
        if core.registry.transactional_names().is_empty() {
            return;
        }
        if let Err(error) = core.fresh_session().await {
            tracing::debug!(%error, "cannot look at a new connection yet");
        }
    }

    /// Returns the id of this worker, made anew for each.
    pub fn id(&self) -> Uuid {
        self.core.worker_id
    }

    /// Returns a handle that tells whether this worker is alive, and whether it is ready, also while it runs: for the checks
    /// of a supervisor.
    pub fn health(&self) -> Health {
        Health::of(&self.core)
    }

    /// Returns where to subscribe to what this worker does, also while it runs.
    ///
    /// ```no_run
    /// use taskq::events::Event;
    ///
    /// # async fn run(worker: taskq::Worker) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut events = worker.events().subscribe();
    /// tokio::spawn(async move {
    ///     while let Some(event) = events.next().await {
    ///         match event {
    ///             Ok(Event::AttemptEnded(it)) => {
    ///                 println!("task {} {}", it.task_id, it.outcome.name());
    ///             }
    ///             Ok(_) => {}
    ///             Err(lagged) => eprintln!("{lagged}"),
    ///         }
    ///     }
    /// });
    /// worker.run_until(taskq::shutdown_signal()).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// A subscriber that reads too slowly is told how many events it has [lost](crate::events::Lagged); the worker never
    /// waits for it. While nobody subscribes, no event is made.
    pub fn events(&self) -> Events {
        Events::of(&self.core.around.speaker.0)
    }

    /// Returns a handle to the metrics of this worker: see [`taskq::metrics`](crate::metrics). Call it before the worker runs:
    /// from then on it may be the one that asks the tables for metrics of all.
    #[cfg(feature = "metrics")]
    pub fn metrics(&self) -> metrics::Metrics {
        metrics::Metrics::of(&self.core)
    }

    /// Runs until the process ends, or an operator has it stop. See [`run_until`](Self::run_until).
    ///
    /// # Errors
    ///
    /// As [`run_until`](Self::run_until).
    ///
    /// # Cancel safety
    ///
    /// As [`run_until`](Self::run_until).
    pub async fn run(self) -> Result<(), WorkerError> {
        self.run_until(std::future::pending::<()>()).await
    }

    /// Runs until `stop` ends, such as [`shutdown_signal`], or an operator
    /// [asks it to stop](crate::operate::Operator::stop_worker), and then stops gracefully.
    ///
    /// A stop in order: no task is claimed any more; running handlers go on, their leases kept, for
    /// at most the grace period; what then still runs is dropped, its transaction rolled back, and
    /// its task handed back at once, with no attempt used; outcomes are written; the worker
    /// unregisters. If `stop` gave a [`StopNow`], its end cuts the grace period short.
    ///
    /// # Errors
    ///
    /// [`WorkerError::PoolClosed`] when the application has closed the pool, which stops the worker.
    /// [`WorkerError::PartEnded`] when one of its background loops stopped by itself. An error of the
    /// database ends nothing: the worker logs it and tries again.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped its handlers are dropped with it. Their tasks are not handed back;
    /// other workers take them when their leases run out.
    pub async fn run_until<S: StopNow>(
        self,
        stop: impl Future<Output = S>,
    ) -> Result<(), WorkerError> {
        let Self { core } = self;
        let span = tracing::error_span!("worker", worker_id = %core.worker_id);
        run::run(core, stop).instrument(span).await
    }
}

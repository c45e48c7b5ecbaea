//! The worker as its users see it, and what its parts share.

mod builder;
mod claim;
mod counters;
mod held;
mod listen;
mod outcomes;
mod run;
mod settings;
mod shutdown;
mod slot;
pub(crate) mod upkeep;

use std::sync::Arc;
use std::time::Instant;

use sqlx::PgPool;
use tokio::sync::{Mutex, Notify};
use tokio::time::sleep_until;
use tracing::Instrument;
use uuid::Uuid;

pub use self::builder::WorkerBuilder;
use self::claim::buffer::Backlog;
use self::counters::Counters;
use self::held::Leases;
pub(crate) use self::settings::Settings;
pub use self::settings::{
    DEFAULT_CENSUS_INTERVAL, DEFAULT_CONCURRENCY, DEFAULT_GRACE_PERIOD, DEFAULT_HISTORY_RETENTION,
    DEFAULT_LEASE, DEFAULT_POLL_INTERVAL,
};
use self::shutdown::Stop;
pub use self::shutdown::{NextSignal, StopNow, shutdown_signal};
pub(crate) use self::slot::handler::panic_message;
use crate::attempt::state::States;
use crate::error::WorkerError;
use crate::store::{Link, WorkerRow};
use crate::task::registry::Registry;

/// Connections that a worker holds for itself: for claims, for outcomes, for heartbeats, and for
/// maintenance. One more listens, if it does.
const OWN_CONNECTIONS: u32 = 4;

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

/// What the parts of a worker share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) pool: PgPool,
    pub(crate) settings: Settings,
    pub(crate) registry: Registry,
    states: States,
    worker_id: Uuid,
    leases: Leases,
    counters: Counters,
    /// One for each queue, in the order of the settings.
    backlogs: Vec<Backlog>,
    /// Tells the claimer that there is room.
    room: Notify,
    stop: Stop,
    /// For maintenance, and for cancelling queries on other connections.
    pub(crate) control: Mutex<Link>,
}

impl Worker {
    /// Starts to build a worker on this pool.
    pub fn builder(pool: PgPool) -> WorkerBuilder {
        WorkerBuilder::new(pool)
    }

    fn new(pool: PgPool, settings: Settings, states: States, registry: Registry) -> Self {
        let core = Core {
            control: Mutex::new(Link::new(pool.clone())),
            leases: Leases::new(settings.lease),
            backlogs: settings
                .queues
                .iter()
                .map(|(_, concurrency)| Backlog::new(*concurrency))
                .collect(),
            counters: Counters::default(),
            room: Notify::new(),
            // Random for each start: a restarted process must not keep its predecessor's work alive.
            worker_id: Uuid::new_v4(),
            stop: Stop::default(),
            pool,
            settings,
            registry,
            states,
        };
        Self {
            core: Arc::new(core),
        }
    }

    /// Returns the id of this worker, made anew for each.
    pub fn id(&self) -> Uuid {
        self.core.worker_id
    }

    /// Runs until the process ends. See [`run_until`](Self::run_until).
    ///
    /// # Errors
    ///
    /// As [`run_until`](Self::run_until).
    pub async fn run(self) -> Result<(), WorkerError> {
        self.run_until(std::future::pending::<()>()).await
    }

    /// Runs until `stop` ends, such as [`shutdown_signal`], and then stops gracefully.
    ///
    /// A stop in order: no task is claimed any more; running handlers go on, their leases kept, for
    /// at most the grace period; what then still runs is dropped, its transaction rolled back, and
    /// its task handed back at once, with no attempt used; outcomes are written; the worker
    /// unregisters. If `stop` gave a [`StopNow`], its end cuts the grace period short.
    ///
    /// # Errors
    ///
    /// [`WorkerError::PoolClosed`] when the application has closed the pool, which stops the worker.
    /// [`WorkerError::PartEnded`] when a defect of taskq does. Errors of the database are logged and tried again.
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

impl Core {
    pub(crate) fn works_on(&self, queue: &str) -> bool {
        self.settings.queues.iter().any(|(name, _)| name == queue)
    }

    /// What this worker says of itself to the others.
    fn itself(&self) -> WorkerRow {
        WorkerRow {
            worker_id: self.worker_id,
            host: gethostname::gethostname().to_string_lossy().into_owned(),
            process_id: i32::try_from(std::process::id()).unwrap_or(0),
            queues: self.settings.queue_names(),
            task_types: self.registry.names(),
        }
    }
}

/// Sleeps until `when`, or for ever.
async fn sleep_until_some(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when.into()).await,
        None => std::future::pending().await,
    }
}

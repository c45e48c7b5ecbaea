//! What the parts of a worker share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::PgPool;
use tokio::sync::{Mutex, Notify, OnceCell};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::beats::Beats;
use super::claim::buffer::Buffer;
use super::claim::gather::BatchKind;
use super::clock::DatabaseClock;
use super::counters::Counters;
use super::held::Held;
use super::hooks::Around;
#[cfg(feature = "metrics")]
use super::metrics::meters::Meters;
use super::places::SharedPlaces;
#[cfg(feature = "cron")]
use super::schedules::Schedules;
use super::settings::Settings;
use super::shutdown::Stop;
use super::slot::habits::KnownHabits;
use super::slot::returns::Returns;
use super::trouble::{Said, Troubles};
#[cfg(feature = "log")]
use crate::attempt::log::Lines;
use crate::attempt::progress::Notes;
use crate::attempt::state::States;
use crate::lane::{Brakes, Failing, Limits, Pauses};
use crate::store::{FreshSession, Store, WorkerRow};
use crate::task::registry::Registry;

/// How long to wait for a new connection that is only looked at.
const LEARN_LIMIT: Duration = Duration::from_secs(3);

/// What the parts of a worker share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) pool: PgPool,
    pub(crate) settings: Settings,
    pub(crate) registry: Registry,
    pub(crate) states: States,
    pub(crate) worker_id: Uuid,
    /// The id of the tables, which no others have.
    pub(crate) installation_id: Uuid,
    pub(crate) held: Held,
    pub(crate) counters: Counters,
    /// Whether others were told of tasks that block their threads or have run for long.
    pub(crate) tells_of_watched: AtomicBool,
    /// How far attempts say that they are.
    pub(crate) notes: Arc<Notes>,
    /// What their handlers log.
    #[cfg(feature = "log")]
    pub(crate) lines: Arc<Lines>,
    /// Behind which task and run the duty looks next for log lines that nobody needs any more.
    log_place: std::sync::Mutex<(i64, Uuid)>,
    pub(crate) troubles: Troubles,
    /// Who is told how attempts have ended.
    pub(crate) around: Around,
    #[cfg(feature = "metrics")]
    pub(crate) meters: Meters,
    /// Whether the loops turn.
    pub(crate) beats: Arc<Beats>,
    /// In the order of the settings, for attempts to share.
    pub(crate) queue_names: Vec<Arc<str>>,
    /// One for each queue, in the order of the settings.
    pub(crate) buffers: Vec<Buffer>,
    /// Tells the claimer that there is room, or something else to do.
    pub(crate) room: Notify,
    /// Whether there may be leases of this worker that it does not hold.
    may_have_strays: AtomicBool,
    /// Whether outcomes wait to be written.
    pub(crate) outcomes_wait: AtomicBool,
    pub(crate) stop: Stop,
    /// Cancelled when this worker has told others that it is there, or has tried to. Before that it claims nothing: workers that start
    /// together would not know of one another, and each would walk over what the others are claiming.
    pub(crate) announced: CancellationToken,
    /// For handlers with a transaction in queues that no such handler declares, and those that begin by themselves.
    pub(crate) shared_places: SharedPlaces,
    /// Tasks that were returned uncharged.
    pub(crate) returns: Returns,
    pub(crate) habits: KnownHabits,
    /// Task types whose payloads suddenly do not decode.
    pub(crate) brakes: Brakes,
    /// Task types that fail, for which a claim has less room.
    pub(crate) failing: Failing,
    pub(crate) database_clock: DatabaseClock,
    #[cfg(feature = "cron")]
    pub(crate) schedules: Schedules,
    /// What is paused, as far as this worker knows.
    pub(crate) pauses: Pauses,
    /// What is limited, as far as this worker knows.
    pub(crate) limits: Limits,
    fresh_session: OnceCell<FreshSession>,
    /// For rescues, and for cancelling queries on other connections: neither waits for claims,
    /// heartbeats or outcomes.
    pub(crate) spare: Mutex<Store<'static>>,
}

impl Core {
    pub(crate) fn new(
        pool: PgPool,
        settings: Settings,
        states: States,
        registry: Registry,
        installation_id: Uuid,
    ) -> Self {
        let connections = pool.options().get_max_connections();
        let batches = registry.batches();
        let batches = batches
            .map(|(names, bounds, has_transaction)| BatchKind::new(names, bounds, has_transaction));
        let batches: Vec<_> = batches.collect();
        Self {
            shared_places: SharedPlaces::of(&settings, &registry, connections),
            queue_names: settings
                .queues
                .iter()
                .map(|(queue, _)| Arc::from(queue.as_str()))
                .collect(),
            spare: Mutex::new(Store::keeping(pool.clone(), settings.schema)),
            held: Held::new(settings.lease),
            buffers: settings
                .queues
                .iter()
                .map(|(_, concurrency)| Buffer::new(*concurrency, &batches))
                .collect(),
            counters: Counters::default(),
            tells_of_watched: AtomicBool::new(false),
            notes: Arc::default(),
            #[cfg(feature = "log")]
            lines: Arc::default(),
            log_place: std::sync::Mutex::default(),
            troubles: Troubles::default(),
            around: Around::default(),
            #[cfg(feature = "metrics")]
            meters: Meters::new(settings.queues.len(), declared_kinds(&settings, &registry)),
            beats: Arc::default(),
            room: Notify::new(),
            may_have_strays: AtomicBool::new(false),
            outcomes_wait: AtomicBool::new(false),
            // Random for each start: a restarted process must not keep its predecessor's work alive.
            worker_id: Uuid::new_v4(),
            installation_id,
            stop: Stop::default(),
            announced: CancellationToken::new(),
            returns: Returns::default(),
            habits: KnownHabits::default(),
            brakes: Brakes::default(),
            failing: Failing::default(),
            database_clock: DatabaseClock::default(),
            #[cfg(feature = "cron")]
            schedules: Schedules::default(),
            pauses: Pauses::default(),
            limits: Limits::default(),
            fresh_session: OnceCell::new(),
            pool,
            settings,
            registry,
            states,
        }
    }

    /// Speaks to this worker's tables on a connection of its own.
    pub(crate) fn store(&self) -> Store<'static> {
        Store::keeping(self.pool.clone(), self.settings.schema)
    }

    /// Returns what a new connection of the pool is like. The first call makes one, to look at it.
    pub(crate) async fn fresh_session(&self) -> Result<&FreshSession, sqlx::Error> {
        let learn = || async {
            // A pool with the same hooks, because the pool itself may give an old connection.
            let options = self.pool.options().clone();
            let alone = options
                .min_connections(0)
                .max_connections(1)
                .acquire_timeout(LEARN_LIMIT);
            let alone = alone.connect_lazy_with((*self.pool.connect_options()).clone());
            let learned = match alone.acquire().await {
                Ok(mut connection) => FreshSession::of_new(&mut connection).await,
                // There may be no connection to spare beside those of the pool.
                Err(_) => FreshSession::of_new(&mut *self.pool.acquire().await?).await,
            };
            alone.close().await;
            learned
        };
        // Boxed: it happens once.
        self.fresh_session
            .get_or_try_init(|| Box::pin(learn()))
            .await
    }

    /// Returns behind which task and run the next look for log lines begins.
    pub(crate) fn lock_log_place(&self) -> MutexGuard<'_, (i64, Uuid)> {
        self.log_place
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells whether the worker exposes metrics.
    fn is_watched(&self) -> bool {
        #[cfg(feature = "metrics")]
        return self.meters.are_watched();
        #[cfg(not(feature = "metrics"))]
        false
    }

    /// Has the claimer look for leases of this worker that it does not hold.
    pub(crate) fn look_for_strays(&self) {
        self.may_have_strays.store(true, Ordering::Relaxed);
        self.room.notify_one();
    }

    pub(crate) fn take_may_have_strays(&self) -> bool {
        self.may_have_strays.load(Ordering::Relaxed)
            && self.may_have_strays.swap(false, Ordering::Relaxed)
    }

    pub(crate) fn has_outcomes(&self) -> bool {
        self.outcomes_wait.load(Ordering::Relaxed)
    }

    /// Tells whether this worker has no task, and has written what became of those that it had.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.held.held_or_running().is_empty() && !self.has_outcomes()
    }

    pub(crate) fn works_on(&self, queue: &str) -> bool {
        self.settings.queues.iter().any(|(name, _)| name == queue)
    }

    /// Returns the queues that handlers of this worker declare and that it does not work on, each with the
    /// task types that declare it.
    pub(crate) fn unserved_queues(&self) -> BTreeMap<&'static str, Vec<&'static str>> {
        let mut unserved = BTreeMap::<_, Vec<_>>::new();
        for (task_type, queue) in self.registry.declared_queues() {
            if !self.works_on(queue) {
                unserved.entry(queue).or_default().push(task_type);
            }
        }
        unserved
    }

    /// Notes that `what` failed, and returns what to log of it, if it is time to.
    pub(crate) fn trouble(&self, what: &'static str, error: &sqlx::Error) -> Option<Said> {
        self.troubles.record(what, error, Instant::now())
    }

    /// What this worker says of itself to the others.
    pub(crate) fn itself(&self) -> WorkerRow {
        WorkerRow {
            worker_id: self.worker_id,
            host: gethostname::gethostname().to_string_lossy().into_owned(),
            process_id: i32::try_from(std::process::id()).unwrap_or(0),
            queues: self.settings.queue_names(),
            task_types: self.registry.names(),
            release: self.settings.release.clone(),
            slots: self.settings.slots(),
            is_watched: self.is_watched(),
        }
    }
}

/// Returns the kinds that a worker declares and serves.
#[cfg(feature = "metrics")]
fn declared_kinds(
    settings: &Settings,
    registry: &Registry,
) -> impl Iterator<Item = (String, String)> {
    let queues = settings.queue_names();
    let declared = registry.declared_queues();
    let served = declared.filter(move |(_, queue)| queues.iter().any(|name| name == queue));
    served.map(|(task_type, queue)| (queue.to_owned(), task_type.to_owned()))
}

/// Sleeps until `when`, or for ever.
pub(crate) async fn sleep_until_some(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when.into()).await,
        None => std::future::pending().await,
    }
}

//! Whether a worker is alive, and whether it can work: what supervisors and balancers ask.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::PgPool;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::beats::Beats;
use super::hooks::Hooks;
use super::shared::Core;
use super::shutdown::Stop;
use crate::error::{NotReady, WorkerError};
use crate::hooks::HookCounts;
use crate::operate::migrate;
use crate::store::{Schema, Store};

/// How long a loop may be silent. Each call to Postgres has a bound, of which a turn of a loop may use several.
const LONGEST_SILENCE: Duration = Duration::from_secs(120);

/// How long Postgres may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// For how long an answer holds, so that whoever asks often costs the database little.
const ANSWER_HOLDS: Duration = Duration::from_secs(1);

/// Tells whether a worker is alive, and whether it is ready: see [`Worker::health`](crate::Worker::health). Cheap to clone.
///
/// The two answer different questions. A supervisor restarts a process that is not *live*: so that depends on this process
/// alone, and not on the database, of which a restart mends nothing. *Ready* says whether the worker can do its work now.
///
/// ```no_run
/// # async fn f(worker: taskq::Worker) -> Result<(), taskq::WorkerError> {
/// let health = worker.health();
/// tokio::spawn(async move {
///     if let Err(why) = health.ready().await {
///         eprintln!("not ready: {why}; live: {}", health.is_live());
///     }
/// });
/// worker.run_until(taskq::shutdown_signal()).await
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Health {
    beats: Arc<Beats>,
    stop: Stop,
    pool: PgPool,
    schema: Schema,
    patience: Duration,
    hooks: Hooks,
    last: Arc<Mutex<Option<Answer>>>,
}

/// What Postgres answered last, and when.
#[derive(Debug, Clone)]
struct Answer {
    at: Instant,
    ready: Result<(), NotReady>,
}

impl Health {
    pub(super) fn of(core: &Core) -> Self {
        Self {
            beats: core.beats.clone(),
            stop: core.stop.clone(),
            pool: core.pool.clone(),
            schema: core.settings.schema,
            patience: LONGEST_SILENCE,
            hooks: core.settings.hooks.clone(),
            last: Arc::default(),
        }
    }

    /// Sets how long a loop may be silent that is not stuck; two minutes unless set. In an outage of the database one may be
    /// silent for a minute.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Tells whether the worker's loops turn: those that claim, that keep leases, and that write outcomes. One that has been
    /// silent for [so long](Self::patience) is stuck, and the process is to be restarted. It asks no database, and never waits.
    ///
    /// A worker that does not run yet, or has ended, is live: nothing of it is stuck.
    pub fn is_live(&self) -> bool {
        self.silence() < self.patience
    }

    /// Returns for how long the loop has been silent that has been so for longest. A loop that has nothing to do is heard of
    /// every second. In an outage of the database, one may be silent for as long as a call has to be answered: a minute at
    /// the worst.
    pub fn silence(&self) -> Duration {
        self.beats.silence(Instant::now())
    }

    /// Tells whether the worker runs, the tables are of a version that it works with, and Postgres takes writes. An answer
    /// holds for a second, however many ask.
    ///
    /// # Errors
    ///
    /// See [`NotReady`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is written, so the future may be dropped at any time.
    pub async fn ready(&self) -> Result<(), NotReady> {
        if !self.beats.any() {
            return Err(NotReady::NotRunning);
        }
        if self.stop.gently.is_cancelled() {
            return Err(NotReady::Stopping);
        }
        let mut last = self.last.lock().await;
        if let Some(answer) = &*last
            && answer.at.elapsed() < ANSWER_HOLDS
        {
            return answer.ready.clone();
        }
        let ready = match timeout(ANSWER_LIMIT, self.look()).await {
            Ok(answer) => answer,
            Err(_) => Err(NotReady::Database {
                error: format!("no connection, or no answer, within {ANSWER_LIMIT:?}"),
            }),
        };
        *last = Some(Answer {
            at: Instant::now(),
            ready: ready.clone(),
        });
        ready
    }

    /// Returns how often each hook that the worker was [given](crate::WorkerBuilder::hook) has failed, in their order. A worker
    /// is live and ready whatever its hooks do.
    pub fn hooks(&self) -> Vec<HookCounts> {
        self.hooks.counts()
    }

    async fn look(&self) -> Result<(), NotReady> {
        let mut store = Store::keeping(self.pool.clone(), self.schema);
        if store.is_standby().await.map_err(not_ready)? {
            return Err(NotReady::Tables {
                problem: WorkerError::Standby.to_string(),
            });
        }
        match migrate::require_version(&mut store, self.schema).await {
            Ok(()) => Ok(()),
            Err(WorkerError::Database(error)) => Err(not_ready(error)),
            Err(other) => Err(NotReady::Tables {
                problem: other.to_string(),
            }),
        }
    }
}

fn not_ready(error: sqlx::Error) -> NotReady {
    NotReady::Database {
        error: crate::error::error_text(&error),
    }
}

//! awa.

mod rows;

use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use awa::model::insert::params;
use awa::{InsertParams, JobError, JobResult, QueueConfig, QueueStorage, QueueStorageConfig};
use serde::{Deserialize, Serialize};
use sqlx_08::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx_08::{Connection, PgConnection, PgPool};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::{Ballast, Client, Each, Family, Handler, Point, System, Worker};
use crate::meter::Meter;
use crate::modes::Mode;
use crate::server::Database;

/// How long a handler may run, unless somebody says so: its default.
const DEADLINE: Duration = Duration::from_secs(300);

/// What it takes from the environment only. With 512 workers or more it writes completions by four tasks at once, which on
/// two cores is slower than one: 14,837 tasks a second in place of 19,777, with 1,024 workers.
pub const ENVIRONMENT: [(&str, &str); 1] = [("AWA_COMPLETION_SHARDS", "1")];

/// Parts of a queue that are inserted into without waiting for each other.
const SHARDS: u8 = 1;

/// How long running handlers may take to end at a stop.
const ENDING: Duration = Duration::from_secs(10);

/// What its documentation and its own benchmarks set.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Settings {
    workers: u32,
    /// The most tasks of a claim.
    batch: usize,
    /// Loops that claim.
    claimers: u16,
    /// How long a handler may run; without, a claim writes one row for all of its tasks.
    deadline: Option<Duration>,
    poll_ms: u64,
    pool: u32,
}

#[derive(Debug)]
pub struct Awa {
    settings: Each<Settings>,
}

impl Awa {
    pub const BEST: Self = Self {
        settings: Each {
            nothing: Settings::of(2_048, 20),
            waits: Settings::of(1_024, 20),
            inserts: Settings::of(256, 37),
        },
    };

    /// Returns the settings of a normal run, and each of them changed alone.
    pub fn grid(handler: Handler) -> Vec<Point> {
        let best = Self::BEST.settings.of(handler);
        let mut grid = vec![best];
        match handler {
            Handler::Nothing | Handler::Waits => {
                let workers = [128, 256, 512, 1_024, 2_048, 4_096];
                grid.extend(workers.map(|workers| Settings { workers, ..best }));
                grid.extend([10, 20, 50].map(|pool| Settings { pool, ..best }));
            }
            Handler::Inserts => {
                let workers = [64, 128, 256, 512, 1_024];
                grid.extend(workers.map(|workers| Settings { workers, ..best }));
                grid.extend([20, 37, 50].map(|pool| Settings { pool, ..best }));
            }
        }
        grid.extend([128, 512, 2_048].map(|batch| Settings { batch, ..best }));
        grid.extend([1, 2, 4].map(|claimers| Settings { claimers, ..best }));
        grid.extend([None, Some(DEADLINE)].map(|deadline| Settings { deadline, ..best }));
        super::points(grid, |settings| Self {
            settings: Each::same(settings),
        })
    }
}

impl Settings {
    const fn of(workers: u32, pool: u32) -> Self {
        Self {
            workers,
            batch: 512,
            claimers: 1,
            deadline: Some(DEADLINE),
            poll_ms: 50,
            pool,
        }
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} workers, claims of {} by {}, {} deadline, poll {} ms, pool of {}",
            self.workers,
            self.batch,
            self.claimers,
            if self.deadline.is_some() { "a" } else { "no" },
            self.poll_ms,
            self.pool
        )
    }
}

#[derive(Debug, Deserialize, Serialize, awa::JobArgs)]
struct Bench {
    n: i64,
}

#[async_trait]
impl System for Awa {
    fn name(&self) -> &'static str {
        "awa"
    }

    fn family(&self) -> Family {
        Family::Peer
    }

    fn settings(&self) -> String {
        let Each {
            nothing,
            waits,
            inserts,
        } = self.settings;
        format!(
            "0.6: {nothing}; a handler that waits: {waits}; one that inserts does so in a \
             transaction of its own: {inserts}; {SHARDS} enqueue shard; AWA_COMPLETION_SHARDS=1; \
             bulk is enqueue_params_copy"
        )
    }

    fn absent_from(&self, _mode: &Mode) -> Option<&'static str> {
        None
    }

    async fn set_up(&self, db: &Database) -> Result<()> {
        let pool = pool(&db.url, 1).await?;
        let (migrated, storage) = (pool.clone(), storage()?);
        // The future cannot be proven to be `Send`, so it is made where it runs.
        let migrating = move || {
            Handle::current().block_on(async {
                awa::migrations::run(&migrated).await?;
                storage.install(&migrated).await
            })
        };
        spawn_blocking(migrating).await??;
        pool.close().await;
        db.execute(&rows::lanes("default", SHARDS)).await?;
        db.execute(&rows::lanes("unknown", 1)).await
    }

    fn preload(&self, _handler: Handler, numbers: Range<u64>) -> String {
        rows::preload(SHARDS, numbers)
    }

    fn ballast(&self, ballast: Ballast, rows: u64) -> Option<String> {
        Some(rows::ballast(ballast, rows))
    }

    async fn client(&self, db: &Database) -> Result<Box<dyn Client>> {
        Ok(Box::new(AwaClient {
            connection: PgConnection::connect(&db.url).await?,
            pool: pool(&db.url, 1).await?,
            store: storage()?,
        }))
    }

    async fn worker(
        &self,
        url: &str,
        handler: Handler,
        meter: Arc<Meter>,
    ) -> Result<Box<dyn Worker>> {
        let settings = self.settings.of(handler);
        let pool = pool(url, settings.pool).await?;
        let queue = QueueConfig {
            max_workers: settings.workers,
            poll_interval: Duration::from_millis(settings.poll_ms),
            deadline_duration: settings.deadline.unwrap_or_default(),
            claimers: settings.claimers,
            claim_batch_size: settings.batch,
            ..QueueConfig::default()
        };
        let state = State {
            handler,
            meter,
            pool: pool.clone(),
        };
        let builder = awa::Client::builder(pool.clone())
            .queue("default", queue)
            .register::<Bench, _, _>(move |args, _context| handle(state.clone(), args.n));
        Ok(Box::new(AwaWorker {
            pool,
            client: builder.build()?,
        }))
    }

    async fn is_completing(&self, db: &Database) -> Result<bool> {
        Ok(self.left(db).await? > 0)
    }

    /// What has completed is never in the way of what has not, so all that was enqueued is compared with all that has
    /// ended well.
    async fn left(&self, db: &Database) -> Result<u64> {
        db.count(
            "select (select sum(awa.sequence_next_value(seq_name) - 1) from awa.queue_enqueue_heads
                     where queue = 'default')::bigint
                  - (select coalesce(sum(completed_count), 0) from awa.receipt_completion_batches
                     where queue = 'default')::bigint
                  - (select count(*) from awa.done_entries
                     where queue = 'default' and state = 'completed' and job_id > 0)
                  - (select coalesce(sum(pruned_completed_count), 0)
                     from awa.queue_terminal_rollups where queue = 'default')::bigint",
        )
        .await
    }
}

/// What a handler needs.
#[derive(Clone)]
struct State {
    handler: Handler,
    meter: Arc<Meter>,
    pool: PgPool,
}

async fn handle(state: State, n: i64) -> Result<JobResult, JobError> {
    match state.handler {
        Handler::Nothing => {}
        Handler::Waits => sleep(Duration::from_millis(1)).await,
        Handler::Inserts => {
            sqlx_08::query("insert into effect (n) values ($1)")
                .bind(n)
                .execute(&state.pool)
                .await
                .map_err(JobError::retryable)?;
        }
    }
    state.meter.ran(n.cast_unsigned());
    Ok(JobResult::Completed)
}

fn storage() -> Result<QueueStorage> {
    Ok(QueueStorage::new(QueueStorageConfig::default())?)
}

async fn pool(url: &str, size: u32) -> Result<PgPool> {
    Ok(PgPoolOptions::new()
        .max_connections(size)
        .connect_with(PgConnectOptions::from_str(url)?)
        .await?)
}

struct AwaClient {
    connection: PgConnection,
    /// Its bulk insert takes no connection.
    pool: PgPool,
    store: QueueStorage,
}

#[async_trait]
impl Client for AwaClient {
    async fn enqueue(&mut self, number: u64) -> Result<()> {
        awa::insert(&mut self.connection, &bench(number)).await?;
        Ok(())
    }

    async fn enqueue_many(&mut self, numbers: Range<u64>) -> Result<()> {
        let params: Vec<InsertParams> = numbers
            .map(|number| params(&bench(number)))
            .collect::<Result<_, _>>()?;
        self.store.enqueue_params_copy(&self.pool, &params).await?;
        Ok(())
    }
}

fn bench(number: u64) -> Bench {
    Bench {
        n: number.cast_signed(),
    }
}

struct AwaWorker {
    pool: PgPool,
    client: awa::Client,
}

#[async_trait]
impl Worker for AwaWorker {
    async fn run(&mut self) -> Result<()> {
        Ok(self.client.start().await?)
    }

    async fn stop(&mut self) -> Result<()> {
        self.client.shutdown(ENDING).await;
        self.pool.close().await;
        Ok(())
    }
}

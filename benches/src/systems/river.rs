//! riverqueue: River for Rust.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use riverqueue::database::begin_postgres;
use riverqueue::migrate::PostgresMigrator;
use riverqueue::{
    BoxError, Job, JobArgs, QUEUE_DEFAULT, QueueConfig, RunHandle, WorkContext, WorkOutcome,
    Workers,
};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use tokio::time::sleep;

use super::{Ballast, Client, Each, Family, Handler, Point, System, Worker};
use crate::meter::Meter;
use crate::modes::Mode;
use crate::server::{Database, pool_of};

/// Where a handler that inserts a row does so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Completion {
    /// In a transaction of its own. River notes the completion later, with those of others.
    Batched,
    /// In the transaction that completes the task.
    InTransaction,
}

/// What its documentation and its own benchmark set.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Settings {
    workers: usize,
    /// The least time from one fetch to the next.
    cooldown_ms: u64,
    /// How often an idle queue is asked.
    poll_ms: u64,
    pool: u32,
}

#[derive(Debug)]
pub struct River {
    completion: Completion,
    settings: Each<Settings>,
}

impl River {
    pub const BATCHED: Self = Self {
        completion: Completion::Batched,
        settings: Each {
            nothing: Settings::of(5_000, 10),
            waits: Settings::of(5_000, 10),
            inserts: Settings::of(1_000, 37),
        },
    };
    pub const IN_TRANSACTION: Self = Self {
        completion: Completion::InTransaction,
        settings: Each {
            nothing: Settings::of(5_000, 10),
            waits: Settings::of(5_000, 10),
            inserts: Settings::of(256, 37),
        },
    };

    /// Returns the settings of a normal run, and each of them changed alone.
    pub fn grid(&self, handler: Handler) -> Vec<Point> {
        let best = self.settings.of(handler);
        let mut grid = vec![best];
        match handler {
            Handler::Nothing | Handler::Waits => {
                let workers = [200, 500, 1_000, 2_000, 5_000, 10_000];
                grid.extend(workers.map(|workers| Settings { workers, ..best }));
                grid.extend([5, 10, 50].map(|pool| Settings { pool, ..best }));
            }
            Handler::Inserts => {
                let workers = [32, 64, 128, 256, 1_000, 5_000];
                grid.extend(workers.map(|workers| Settings { workers, ..best }));
                grid.extend([20, 37, 50].map(|pool| Settings { pool, ..best }));
            }
        }
        grid.extend([1, 2, 5, 20].map(|cooldown_ms| Settings {
            cooldown_ms,
            ..best
        }));
        super::points(grid, |settings| Self {
            completion: self.completion,
            settings: Each::same(settings),
        })
    }
}

impl Settings {
    /// The times are those of River's own benchmark.
    const fn of(workers: usize, pool: u32) -> Self {
        Self {
            workers,
            cooldown_ms: 2,
            poll_ms: 20,
            pool,
        }
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} workers, cooldown {} ms, poll {} ms, pool of {}",
            self.workers, self.cooldown_ms, self.poll_ms, self.pool
        )
    }
}

#[derive(Debug, Deserialize, JobArgs, Serialize)]
#[river(kind = "bench")]
struct Payload {
    n: i64,
}

/// What a handler needs.
#[derive(Clone)]
struct State {
    handler: Handler,
    completion: Completion,
    meter: Arc<Meter>,
    pool: PgPool,
}

async fn handle(
    state: State,
    context: WorkContext,
    job: Job<Payload>,
) -> Result<WorkOutcome, BoxError> {
    let n = job.args.n;
    match (state.handler, state.completion) {
        (Handler::Nothing, _) => {}
        (Handler::Waits, _) => sleep(Duration::from_millis(1)).await,
        (Handler::Inserts, Completion::Batched) => {
            sqlx::query("insert into effect (n) values ($1)")
                .bind(n)
                .execute(&state.pool)
                .await?;
        }
        (Handler::Inserts, Completion::InTransaction) => {
            let mut tx = begin_postgres(&state.pool).await?;
            sqlx::query("insert into effect (n) values ($1)")
                .bind(n)
                .execute(&mut *tx)
                .await?;
            context.job_complete_tx(&mut tx).await?;
            tx.commit().await?;
        }
    }
    state.meter.ran(n.cast_unsigned());
    Ok(WorkOutcome::Complete)
}

#[async_trait]
impl System for River {
    fn name(&self) -> &'static str {
        match self.completion {
            Completion::Batched => "riverqueue",
            Completion::InTransaction => "riverqueue, tx",
        }
    }

    fn family(&self) -> Family {
        Family::Peer
    }

    fn settings(&self) -> String {
        let (nothing, inserts) = (self.settings.nothing, self.settings.inserts);
        match self.completion {
            Completion::Batched => format!(
                "0.5: {nothing}; completions batched for 10 ms, which is fixed; a handler that \
                 inserts does so in a transaction of its own: {inserts}; it fetches only kinds that \
                 it knows; bulk is one insert_many, which is a statement for each task"
            ),
            Completion::InTransaction => {
                format!("0.5: job_complete_tx in the transaction that inserts: {inserts}")
            }
        }
    }

    fn absent_from(&self, mode: &Mode) -> Option<&'static str> {
        match (self.completion, mode) {
            (Completion::Batched, _) | (_, Mode::Drain(Handler::Inserts)) => None,
            (Completion::InTransaction, _) => Some("its setting matters where a handler inserts"),
        }
    }

    async fn set_up(&self, db: &Database) -> Result<()> {
        PostgresMigrator::new(db.pool.clone()).migrate_up().await?;
        Ok(())
    }

    fn preload(&self, _handler: Handler, numbers: Range<u64>) -> String {
        let (first, end) = (numbers.start, numbers.end);
        let insert = insert(first..end, "bench", "available", "now()", "null");
        format!(
            "{insert};
             select pg_notify(current_schema() || '.river_insert', '{{\"queue\":\"default\"}}')"
        )
    }

    fn ballast(&self, ballast: Ballast, rows: u64) -> Option<String> {
        let (kind, state, scheduled_at, finalized_at) = match ballast {
            Ballast::Unknown => ("unknown", "available", "now() - interval '1 hour'", "null"),
            Ballast::Future => ("bench", "scheduled", "now() + interval '30 days'", "null"),
            Ballast::Finished => ("bench", "completed", "now() - interval '1 hour'", "now()"),
        };
        Some(insert(0..rows, kind, state, scheduled_at, finalized_at))
    }

    async fn client(&self, db: &Database) -> Result<Box<dyn Client>> {
        let pool = pool_of(&db.url, 1).await?;
        Ok(Box::new(RiverClient(
            riverqueue::Client::builder(pool).build()?,
        )))
    }

    async fn worker(
        &self,
        url: &str,
        handler: Handler,
        meter: Arc<Meter>,
    ) -> Result<Box<dyn Worker>> {
        let settings = self.settings.of(handler);
        let pool = pool_of(url, settings.pool).await?;
        let state = State {
            handler,
            completion: self.completion,
            meter,
            pool: pool.clone(),
        };
        let mut workers = Workers::new();
        workers.add_fn(move |context, job| handle(state.clone(), context, job))?;
        let queue = QueueConfig::new(settings.workers)
            .with_fetch_cooldown(Duration::from_millis(settings.cooldown_ms))
            .with_fetch_poll_interval(Duration::from_millis(settings.poll_ms));
        let client = riverqueue::Client::builder(pool.clone())
            .workers(workers)
            .queue(QUEUE_DEFAULT, queue)
            .fetch_only_known_kinds(true)
            .build()?;
        Ok(Box::new(RiverWorker {
            pool,
            client,
            running: None,
        }))
    }

    async fn is_completing(&self, db: &Database) -> Result<bool> {
        db.is("select exists (select from river_job where state = 'running')")
            .await
    }

    async fn left(&self, db: &Database) -> Result<u64> {
        db.count(
            "select count(*) from river_job
             where kind = 'bench' and state <> 'completed' and scheduled_at <= now() + interval '1 day'",
        )
        .await
    }
}

/// Inserts what its own insert writes.
fn insert(
    numbers: Range<u64>,
    kind: &str,
    state: &str,
    scheduled_at: &str,
    finalized_at: &str,
) -> String {
    let (first, end) = (numbers.start, numbers.end);
    format!(
        "insert into river_job
             (args, kind, max_attempts, metadata, priority, queue, scheduled_at, state, tags,
              finalized_at)
         select jsonb_build_object('n', n), '{kind}', 25, '{{}}', 1, 'default', {scheduled_at},
                '{state}', '{{}}', {finalized_at}
         from generate_series({first}::bigint, {end}::bigint - 1) as n"
    )
}

struct RiverClient(riverqueue::Client);

#[async_trait]
impl Client for RiverClient {
    async fn enqueue(&mut self, number: u64) -> Result<()> {
        self.0.insert(payload(number)).await?;
        Ok(())
    }

    async fn enqueue_many(&mut self, numbers: Range<u64>) -> Result<()> {
        self.0.insert_many(numbers.map(payload)).await?;
        Ok(())
    }
}

fn payload(number: u64) -> Payload {
    Payload {
        n: number.cast_signed(),
    }
}

struct RiverWorker {
    pool: PgPool,
    client: riverqueue::Client,
    running: Option<RunHandle>,
}

#[async_trait]
impl Worker for RiverWorker {
    async fn run(&mut self) -> Result<()> {
        self.running = Some(self.client.start()?);
        Ok(())
    }

    async fn stop(&mut self) -> Result<()> {
        let mut running = self.running.take().context("it does not run")?;
        running.stop().await?;
        self.pool.close().await;
        Ok(())
    }
}

//! taskq: as a user gets it, tuned, and with completed tasks kept.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use sqlx::{Connection, PgConnection, PgPool};
use taskq::{Payload, WorkerError};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::{Ballast, Client, Each, Family, Handler, Point, System, Worker};
use crate::meter::Meter;
use crate::modes::Mode;
use crate::server::{Database, pool_of};

/// Connections that a worker needs beside those of its handlers: four of its own, one to listen.
const OWN_CONNECTIONS: u32 = 6;

/// Handlers at once where each uses a connection; the bare loop uses as many.
pub const CONNECTIONS: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variant {
    Defaults,
    Tuned,
    Keep,
}

#[derive(Debug)]
pub struct Taskq {
    variant: Variant,
    settings: Each<Settings>,
}

/// What a user says; all else has its default.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Settings {
    /// Handlers at once.
    concurrency: usize,
    pool: u32,
}

impl Taskq {
    pub const DEFAULTS: Self = Self::of(Variant::Defaults, 200);
    pub const TUNED: Self = Self::of(Variant::Tuned, 2_000);
    pub const STREAM: Self = Self::of(Variant::Defaults, 64);
    pub const KEEP: Self = Self::of(Variant::Keep, 200);

    const fn of(variant: Variant, concurrency: usize) -> Self {
        // The size of a pool of which nobody has said anything.
        let holding_none = Settings {
            concurrency,
            pool: 10,
        };
        Self {
            variant,
            settings: Each {
                nothing: holding_none,
                waits: holding_none,
                inserts: Settings {
                    concurrency: CONNECTIONS,
                    pool: CONNECTIONS as u32 + OWN_CONNECTIONS,
                },
            },
        }
    }

    /// Returns the settings of a normal run, and each of them changed alone.
    pub fn grid(handler: Handler) -> Vec<Point> {
        let best = Self::TUNED.settings.of(handler);
        let mut grid = vec![best];
        match handler {
            Handler::Nothing | Handler::Waits => {
                let concurrency = [4, 16, 50, 100, 200, 500, 1_000, 2_000, 4_000];
                grid.extend(concurrency.map(|concurrency| Settings {
                    concurrency,
                    ..best
                }));
                grid.extend([10, 20].map(|pool| Settings { pool, ..best }));
            }
            // A handler holds a connection, so one number says both.
            Handler::Inserts => grid.extend([8, 16, 32, 48, 64].map(|connections| Settings {
                concurrency: connections,
                pool: connections as u32 + OWN_CONNECTIONS,
            })),
        }
        super::points(grid, |settings| Self {
            variant: Variant::Defaults,
            settings: Each::same(settings),
        })
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at once, pool of {}", self.concurrency, self.pool)
    }
}

#[taskq::task]
async fn do_nothing(meter: &Meter, n: u64) {
    meter.ran(n);
}

#[taskq::task]
async fn wait_a_millisecond(meter: &Meter, n: u64) {
    sleep(Duration::from_millis(1)).await;
    meter.ran(n);
}

#[taskq::task]
async fn insert_a_row(tx: &mut PgConnection, meter: &Meter, n: i64) -> sqlx::Result<()> {
    sqlx::query("insert into effect (n) values ($1)")
        .bind(n)
        .execute(tx)
        .await?;
    meter.ran(n.cast_unsigned());
    Ok(())
}

#[async_trait]
impl System for Taskq {
    fn name(&self) -> &'static str {
        match self.variant {
            Variant::Defaults => "taskq",
            Variant::Tuned => "taskq, tuned",
            Variant::Keep => "taskq, keep",
        }
    }

    fn family(&self) -> Family {
        Family::Taskq
    }

    fn settings(&self) -> String {
        let Each {
            nothing, inserts, ..
        } = self.settings;
        match self.variant {
            Variant::Defaults => format!(
                "defaults, with a queue of {nothing}; in a transaction {inserts}; inserts as begin, \
                 enqueue, commit"
            ),
            Variant::Tuned => {
                format!("a queue of {nothing}; inserts as one statement that commits by itself")
            }
            Variant::Keep => "as taskq, with keep_completed(true)".to_owned(),
        }
    }

    fn absent_from(&self, mode: &Mode) -> Option<&'static str> {
        match (self.variant, mode) {
            (Variant::Defaults, _) => None,
            (Variant::Tuned, Mode::Drain(Handler::Inserts)) => {
                Some("its setting is the concurrency, which is that of the bare loop here")
            }
            (Variant::Tuned, Mode::Drain(_) | Mode::Insert { .. }) => None,
            (Variant::Keep, Mode::Drain(_)) => None,
            (Variant::Tuned | Variant::Keep, _) => Some("the settings do not matter here"),
        }
    }

    async fn set_up(&self, db: &Database) -> Result<()> {
        Ok(taskq::migrate(&db.pool).await?)
    }

    fn preload(&self, handler: Handler, numbers: Range<u64>) -> String {
        preload(handler, numbers)
    }

    fn ballast(&self, ballast: Ballast, rows: u64) -> Option<String> {
        Some(self::ballast(ballast, rows))
    }

    async fn client(&self, db: &Database) -> Result<Box<dyn Client>> {
        Ok(Box::new(TaskqClient {
            connection: PgConnection::connect(&db.url).await?,
            in_transaction: self.variant != Variant::Tuned,
        }))
    }

    async fn worker(
        &self,
        url: &str,
        handler: Handler,
        meter: Arc<Meter>,
    ) -> Result<Box<dyn Worker>> {
        let settings = self.settings.of(handler);
        let pool = pool_of(url, settings.pool).await?;
        let builder = taskq::Worker::builder(pool.clone())
            .state_arc(meter)
            .queue("default", settings.concurrency);
        let builder = match handler {
            Handler::Nothing => builder.only::<(DoNothing,)>(),
            Handler::Waits => builder.only::<(WaitAMillisecond,)>(),
            Handler::Inserts => builder.only::<(InsertARow,)>(),
        };
        let builder = match self.variant {
            Variant::Keep => builder.keep_completed(true),
            Variant::Defaults | Variant::Tuned => builder,
        };
        Ok(Box::new(TaskqWorker::new(pool, builder.build().await?)))
    }

    async fn is_completing(&self, db: &Database) -> Result<bool> {
        is_completing(db).await
    }

    async fn left(&self, db: &Database) -> Result<u64> {
        left(db).await
    }
}

pub fn preload(handler: Handler, numbers: Range<u64>) -> String {
    let task_type = match handler {
        Handler::Nothing => DoNothing::TASK_TYPE,
        Handler::Waits => WaitAMillisecond::TASK_TYPE,
        Handler::Inserts => InsertARow::TASK_TYPE,
    };
    let (first, end) = (numbers.start, numbers.end);
    format!(
        "insert into taskq.task (task_type, payload)
         select '{task_type}', jsonb_build_object('n', n)
         from generate_series({first}::bigint, {end}::bigint - 1) as n"
    )
}

pub fn ballast(ballast: Ballast, rows: u64) -> String {
    let task_type = DoNothing::TASK_TYPE;
    match ballast {
        Ballast::Unknown => format!(
            "insert into taskq.task (task_type, payload, run_at)
             select 'unknown', jsonb_build_object('n', n), now() - interval '1 hour'
             from generate_series(1, {rows}) as n"
        ),
        Ballast::Future => format!(
            "insert into taskq.task (task_type, payload, run_at)
             select '{task_type}', jsonb_build_object('n', n), now() + interval '30 days'
             from generate_series(1, {rows}) as n"
        ),
        Ballast::Finished => format!(
            "insert into taskq.history
                 (task_id, task_type, payload, queue, priority, created_at, attempts, claimed_at)
             select -n, '{task_type}', jsonb_build_object('n', n), 'default', 0, now(), 1, now()
             from generate_series(1, {rows}) as n"
        ),
    }
}

pub async fn is_completing(db: &Database) -> Result<bool> {
    db.is("select exists (select from taskq.lease)").await
}

pub async fn left(db: &Database) -> Result<u64> {
    db.count(
        "select (select count(*) from taskq.task where task_type <> 'unknown' and run_at <= now())
              + (select count(*) from taskq.lease, unnest(lease.task_ids) as held
                 where held <> all (lease.done))
              + (select count(*) from taskq.dead where task_type <> 'kept_shorter')",
    )
    .await
}

struct TaskqClient {
    connection: PgConnection,
    in_transaction: bool,
}

#[async_trait]
impl Client for TaskqClient {
    async fn enqueue(&mut self, number: u64) -> Result<()> {
        DoNothing::enqueue(&mut self.connection, number).await?;
        Ok(())
    }

    async fn enqueue_in_transaction(&mut self, number: u64) -> Result<()> {
        if !self.in_transaction {
            return self.enqueue(number).await;
        }
        let mut tx = self.connection.begin().await?;
        DoNothing::enqueue(&mut tx, number).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn enqueue_many(&mut self, numbers: Range<u64>) -> Result<()> {
        let mut tx = self.connection.begin().await?;
        taskq::enqueue_many(&mut tx, numbers.map(|n| DoNothing { n })).await?;
        tx.commit().await?;
        Ok(())
    }
}

pub(super) struct TaskqWorker {
    pool: PgPool,
    built: Option<taskq::Worker>,
    running: Option<Running>,
}

impl TaskqWorker {
    pub(super) fn new(pool: PgPool, worker: taskq::Worker) -> Self {
        Self {
            pool,
            built: Some(worker),
            running: None,
        }
    }
}

struct Running {
    stop: oneshot::Sender<()>,
    worker: JoinHandle<Result<(), WorkerError>>,
}

#[async_trait]
impl Worker for TaskqWorker {
    async fn run(&mut self) -> Result<()> {
        let worker = self.built.take().context("a worker runs once")?;
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async move {
            // Dropping the sender is a reason to stop too.
            let _ = stopped.await;
        };
        self.running = Some(Running {
            stop,
            worker: tokio::spawn(worker.run_until(stopped)),
        });
        Ok(())
    }

    async fn stop(&mut self) -> Result<()> {
        if let Some(Running { stop, worker }) = self.running.take() {
            drop(stop);
            worker.await??;
        }
        self.pool.close().await;
        Ok(())
    }
}

//! graphile_worker, the Rust one, with its local queues on.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use async_trait::async_trait;
use graphile_worker::{
    IntoTaskHandlerResult, JobSpec, LocalQueueConfig, RawJobSpec, RefetchDelayConfig, TaskHandler,
    WorkerContext, WorkerOptions, WorkerUtils,
};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::{Ballast, Client, Each, Family, Handler, Point, System, Worker};
use crate::meter::Meter;
use crate::modes::Mode;
use crate::server::{Database, pool_of};

const SCHEMA: &str = "graphile_worker";

/// What its documentation and its own benchmark set.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Settings {
    concurrency: usize,
    local_queues: usize,
    /// Of each local queue.
    size: usize,
    /// Of completions and failures, which are then written together, and between looks at an empty queue.
    delay_ms: u64,
    pool: u32,
}

#[derive(Debug)]
pub struct Graphile {
    settings: Each<Settings>,
}

impl Graphile {
    pub const BEST: Self = Self {
        settings: Each {
            nothing: Settings::of(256, 10),
            waits: Settings::of(256, 10),
            inserts: Settings::of(256, 20),
        },
    };

    /// Returns the settings of a normal run, and each of them changed alone.
    pub fn grid(handler: Handler) -> Vec<Point> {
        let best = Self::BEST.settings.of(handler);
        let mut grid = vec![best];
        let concurrency = [64, 128, 256, 512, 1_024];
        grid.extend(concurrency.map(|concurrency| Settings {
            concurrency,
            ..best
        }));
        grid.extend([1, 2, 4].map(|local_queues| Settings {
            local_queues,
            ..best
        }));
        grid.extend([500, 2_000, 5_000].map(|size| Settings { size, ..best }));
        grid.extend([2, 5, 20].map(|delay_ms| Settings { delay_ms, ..best }));
        grid.extend([10, 20, 37].map(|pool| Settings { pool, ..best }));
        super::points(grid, |settings| Self {
            settings: Each::same(settings),
        })
    }
}

impl Settings {
    const fn of(concurrency: usize, pool: u32) -> Self {
        Self {
            concurrency,
            local_queues: 2,
            size: 2_000,
            delay_ms: 5,
            pool,
        }
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} concurrent, {} local queues of {}, delays of {} ms, pool of {}",
            self.concurrency, self.local_queues, self.size, self.delay_ms, self.pool
        )
    }
}

#[derive(Serialize, Deserialize)]
struct DoNothing {
    n: u64,
}

#[derive(Serialize, Deserialize)]
struct WaitAMillisecond {
    n: u64,
}

#[derive(Serialize, Deserialize)]
struct InsertARow {
    n: i64,
}

impl TaskHandler for DoNothing {
    const IDENTIFIER: &'static str = "do_nothing";

    async fn run(self, context: WorkerContext) -> impl IntoTaskHandlerResult {
        meter(&context)?.ran(self.n);
        Ok::<(), String>(())
    }
}

impl TaskHandler for WaitAMillisecond {
    const IDENTIFIER: &'static str = "wait_a_millisecond";

    async fn run(self, context: WorkerContext) -> impl IntoTaskHandlerResult {
        sleep(Duration::from_millis(1)).await;
        meter(&context)?.ran(self.n);
        Ok::<(), String>(())
    }
}

impl TaskHandler for InsertARow {
    const IDENTIFIER: &'static str = "insert_a_row";

    async fn run(self, context: WorkerContext) -> impl IntoTaskHandlerResult {
        let pool = context.get_ext::<PgPool>().ok_or("no pool")?;
        sqlx::query("insert into effect (n) values ($1)")
            .bind(self.n)
            .execute(pool)
            .await
            .map_err(|error| error.to_string())?;
        meter(&context)?.ran(self.n.cast_unsigned());
        Ok::<(), String>(())
    }
}

fn meter(context: &WorkerContext) -> Result<&Arc<Meter>, String> {
    context.get_ext::<Arc<Meter>>().ok_or("no meter".to_owned())
}

fn identifier(handler: Handler) -> &'static str {
    match handler {
        Handler::Nothing => DoNothing::IDENTIFIER,
        Handler::Waits => WaitAMillisecond::IDENTIFIER,
        Handler::Inserts => InsertARow::IDENTIFIER,
    }
}

#[async_trait]
impl System for Graphile {
    fn name(&self) -> &'static str {
        "graphile_worker"
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
            "0.14 (Rust): {nothing}; the delays are those of completions, which are batched, and of \
             looks at an empty queue; a handler that waits: {waits}; one that inserts does so in a \
             transaction of its own: {inserts}"
        )
    }

    fn absent_from(&self, _mode: &Mode) -> Option<&'static str> {
        None
    }

    async fn set_up(&self, db: &Database) -> Result<()> {
        utils(&db.pool).migrate().await?;
        db.execute(
            "insert into graphile_worker._private_tasks (identifier)
             values ('do_nothing'), ('wait_a_millisecond'), ('insert_a_row'), ('unknown')
             on conflict do nothing",
        )
        .await
    }

    fn preload(&self, handler: Handler, numbers: Range<u64>) -> String {
        let (identifier, first, end) = (identifier(handler), numbers.start, numbers.end);
        format!(
            "insert into graphile_worker._private_jobs (task_id, payload)
             select tasks.id, json_build_object('n', n)
             from graphile_worker._private_tasks as tasks,
                  generate_series({first}::bigint, {end}::bigint - 1) as n
             where tasks.identifier = '{identifier}';
             select pg_notify('jobs:insert', '{{}}')"
        )
    }

    fn ballast(&self, ballast: Ballast, rows: u64) -> Option<String> {
        let (identifier, run_at) = match ballast {
            Ballast::Unknown => ("unknown", "now() - interval '1 hour'"),
            Ballast::Future => ("do_nothing", "now() + interval '30 days'"),
            // It deletes what is finished.
            Ballast::Finished => return None,
        };
        Some(format!(
            "insert into graphile_worker._private_jobs (task_id, payload, run_at)
             select tasks.id, json_build_object('n', n), {run_at}
             from graphile_worker._private_tasks as tasks, generate_series(1, {rows}) as n
             where tasks.identifier = '{identifier}'"
        ))
    }

    async fn client(&self, db: &Database) -> Result<Box<dyn Client>> {
        let pool = pool_of(&db.url, 1).await?;
        Ok(Box::new(GraphileClient(utils(&pool))))
    }

    async fn worker(
        &self,
        url: &str,
        handler: Handler,
        meter: Arc<Meter>,
    ) -> Result<Box<dyn Worker>> {
        let settings = self.settings.of(handler);
        let pool = pool_of(url, settings.pool).await?;
        let delay = Duration::from_millis(settings.delay_ms);
        let options = WorkerOptions::default()
            .schema(SCHEMA)
            .pg_pool(pool.clone())
            .concurrency(settings.concurrency)
            .complete_job_batch_delay(delay)
            .fail_job_batch_delay(delay)
            .local_queue(
                LocalQueueConfig::default()
                    .with_size(settings.size)
                    .with_queue_count(settings.local_queues)
                    // Without, an empty queue is asked again and again, without a pause.
                    .with_refetch_delay(RefetchDelayConfig::default().with_duration(delay)),
            )
            .add_extension(meter)
            .add_extension(pool.clone());
        let options = match handler {
            Handler::Nothing => options.define_job::<DoNothing>(),
            Handler::Waits => options.define_job::<WaitAMillisecond>(),
            Handler::Inserts => options.define_job::<InsertARow>(),
        };
        Ok(Box::new(GraphileWorker {
            pool,
            worker: Arc::new(options.init().await?),
            running: None,
        }))
    }

    async fn is_completing(&self, db: &Database) -> Result<bool> {
        db.is(
            "select exists (select from graphile_worker._private_jobs where locked_by is not null)",
        )
        .await
    }

    async fn left(&self, db: &Database) -> Result<u64> {
        db.count(
            "select count(*)
             from graphile_worker._private_jobs as jobs
             join graphile_worker._private_tasks as tasks on tasks.id = jobs.task_id
             where tasks.identifier <> 'unknown' and jobs.run_at <= now() + interval '1 day'",
        )
        .await
    }
}

fn utils(pool: &PgPool) -> WorkerUtils {
    WorkerUtils::new(pool.clone(), SCHEMA)
}

struct GraphileClient(WorkerUtils);

#[async_trait]
impl Client for GraphileClient {
    async fn enqueue(&mut self, number: u64) -> Result<()> {
        self.0
            .add_job(DoNothing { n: number }, JobSpec::default())
            .await?;
        Ok(())
    }

    async fn enqueue_many(&mut self, numbers: Range<u64>) -> Result<()> {
        let jobs: Vec<_> = numbers
            .map(|n| RawJobSpec {
                identifier: DoNothing::IDENTIFIER.to_owned(),
                payload: serde_json::json!({ "n": n }),
                spec: JobSpec::default(),
            })
            .collect();
        self.0.add_raw_jobs(&jobs).await?;
        Ok(())
    }
}

struct GraphileWorker {
    pool: PgPool,
    worker: Arc<graphile_worker::Worker>,
    running: Option<JoinHandle<Result<(), String>>>,
}

#[async_trait]
impl Worker for GraphileWorker {
    async fn run(&mut self) -> Result<()> {
        let worker = self.worker.clone();
        self.running = Some(tokio::spawn(async move {
            worker.run().await.map_err(|error| error.to_string())
        }));
        Ok(())
    }

    async fn stop(&mut self) -> Result<()> {
        self.worker.request_shutdown();
        let running = self.running.take().context("it does not run")?;
        running.await?.map_err(|error| anyhow!(error))?;
        self.pool.close().await;
        Ok(())
    }
}

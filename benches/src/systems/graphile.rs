//! graphile_worker, the Rust one, with its local queues on.

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

use super::{Ballast, Client, Family, Handler, System, Worker};
use crate::meter::Meter;
use crate::modes::Mode;
use crate::server::{Database, pool_of};

const SCHEMA: &str = "graphile_worker";
const CONCURRENCY: usize = 256;
const LOCAL_QUEUES: usize = 2;
const LOCAL_QUEUE_SIZE: usize = 2_000;
/// Of completions and failures, which are then written together, and between looks at an empty queue.
const DELAY: Duration = Duration::from_millis(5);
const POOL: u32 = 10;

/// Connections where each handler inserts a row.
const INSERTING_POOL: u32 = 37;

#[derive(Debug)]
pub struct Graphile;

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
        format!(
            "0.14 (Rust): {CONCURRENCY} concurrent, {LOCAL_QUEUES} local queues of \
             {LOCAL_QUEUE_SIZE}, completions batched for {} ms and an empty queue asked \
             as often, pool of {POOL}; a handler that \
             inserts does so in a transaction of its own, from a pool of {INSERTING_POOL}",
            DELAY.as_millis()
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
        let size = match handler {
            Handler::Inserts => INSERTING_POOL,
            Handler::Nothing | Handler::Waits => POOL,
        };
        let pool = pool_of(url, size).await?;
        let options = WorkerOptions::default()
            .schema(SCHEMA)
            .pg_pool(pool.clone())
            .concurrency(CONCURRENCY)
            .complete_job_batch_delay(DELAY)
            .fail_job_batch_delay(DELAY)
            .local_queue(
                LocalQueueConfig::default()
                    .with_size(LOCAL_QUEUE_SIZE)
                    .with_queue_count(LOCAL_QUEUES)
                    // Without, an empty queue is asked again and again, without a pause.
                    .with_refetch_delay(RefetchDelayConfig::default().with_duration(DELAY)),
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

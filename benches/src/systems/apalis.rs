//! apalis-postgres.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use apalis::prelude::*;
use apalis_postgres::{Config, PostgresStorage, queries};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use sqlx::{Connection, PgConnection, PgPool};
use tokio::task::JoinSet;
use tokio::time::sleep;
use uuid::Uuid;

use super::{Ballast, Client, Family, Handler, System, Worker};
use crate::meter::Meter;
use crate::modes::Mode;
use crate::server::{Database, pool_of};

const QUEUE: &str = "bench";
const WORKERS: usize = 4;
const BATCH: usize = 1_000;
const POOL: u32 = 12;
const INSERTING_POOL: u32 = 37;

/// Beside the listener, so that what was enqueued while a batch ran is seen.
const POLL: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub struct Apalis;

#[derive(Debug, Serialize, Deserialize)]
struct Payload {
    n: u64,
}

/// What a handler needs.
#[derive(Clone)]
struct State {
    handler: Handler,
    meter: Arc<Meter>,
    pool: PgPool,
}

async fn handle(payload: Payload, state: Data<State>) -> Result<(), BoxDynError> {
    match state.handler {
        Handler::Nothing => {}
        Handler::Waits => sleep(Duration::from_millis(1)).await,
        Handler::Inserts => {
            sqlx::query("insert into effect (n) values ($1)")
                .bind(payload.n.cast_signed())
                .execute(&state.pool)
                .await?;
        }
    }
    state.meter.ran(payload.n);
    Ok(())
}

#[async_trait]
impl System for Apalis {
    fn name(&self) -> &'static str {
        "apalis-postgres"
    }

    fn family(&self) -> Family {
        Family::Peer
    }

    fn settings(&self) -> String {
        format!(
            "1.0: {WORKERS} workers, batches of {BATCH}, results persisted, tasks not locked a \
             second time, woken by its listener and every {} ms, pool of {POOL}; a handler that \
             inserts does so in a transaction of its own, from a pool of {INSERTING_POOL}",
            POLL.as_millis()
        )
    }

    fn absent_from(&self, _mode: &Mode) -> Option<&'static str> {
        None
    }

    async fn set_up(&self, db: &Database) -> Result<()> {
        Ok(PostgresStorage::<()>::setup(&db.pool).await?)
    }

    fn preload(&self, _handler: Handler, numbers: Range<u64>) -> String {
        insert(QUEUE, "now() - interval '1 second'", "Pending", numbers)
    }

    fn ballast(&self, ballast: Ballast, rows: u64) -> Option<String> {
        let (queue, run_at, status, place) = match ballast {
            Ballast::Unknown => ("unknown", "now() - interval '1 hour'", "Pending", 1),
            Ballast::Future => (QUEUE, "now() + interval '30 days'", "Pending", 2),
            Ballast::Finished => (QUEUE, "now() - interval '1 hour'", "Done", 3),
        };
        // Ids are made of numbers: other ones than those of the tasks.
        let first = place << 40;
        Some(insert(queue, run_at, status, first..first + rows))
    }

    async fn client(&self, db: &Database) -> Result<Box<dyn Client>> {
        let connection = PgConnection::connect(&db.url).await?;
        Ok(Box::new(ApalisClient(connection)))
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
        Ok(Box::new(ApalisWorkers {
            state: State {
                handler,
                meter,
                pool,
            },
            contexts: Vec::new(),
            running: JoinSet::new(),
        }))
    }

    async fn is_completing(&self, db: &Database) -> Result<bool> {
        db.is("select exists (select from apalis.jobs where status in ('Queued', 'Running'))")
            .await
    }

    async fn left(&self, db: &Database) -> Result<u64> {
        db.count(
            "select count(*) from apalis.jobs
             where job_type = 'bench' and status <> 'Done' and run_at < now() + interval '1 day'",
        )
        .await
    }
}

fn insert(queue: &str, run_at: &str, status: &str, numbers: Range<u64>) -> String {
    let (first, end) = (numbers.start, numbers.end);
    format!(
        "insert into apalis.jobs
             (id, job_type, job, status, attempts, max_attempts, run_at, priority, metadata)
         select lpad(n::text, 26, '0'), '{queue}',
                convert_to(jsonb_build_object('n', n)::text, 'UTF8'), '{status}', 0, 25,
                {run_at}, 0, ''
         from generate_series({first}::bigint, {end}::bigint - 1) as n"
    )
}

struct ApalisClient(PgConnection);

#[async_trait]
impl Client for ApalisClient {
    async fn enqueue(&mut self, number: u64) -> Result<()> {
        self.enqueue_many(number..number + 1).await
    }

    async fn enqueue_many(&mut self, numbers: Range<u64>) -> Result<()> {
        let mut tasks = Vec::new();
        for n in numbers {
            tasks.push(TaskBuilder::new(serde_json::to_vec(&Payload { n })?).build());
        }
        queries::push_tasks(&mut self.0, QUEUE, tasks).await?;
        Ok(())
    }
}

struct ApalisWorkers {
    state: State,
    contexts: Vec<WorkerContext>,
    running: JoinSet<Result<(), String>>,
}

#[async_trait]
impl Worker for ApalisWorkers {
    async fn run(&mut self) -> Result<()> {
        let config = Config::default()
            .queue(QUEUE)
            .batch_size(BATCH)
            .persist_results(true)
            .lock_tasks(false);
        for _ in 0..WORKERS {
            let backend = PostgresStorage::<Payload>::new(&self.state.pool)
                .with_config(config.clone())
                .with_pubsub()
                .poll_with_interval(POLL);
            let context = WorkerContext::new(&Uuid::new_v4().to_string());
            let worker = WorkerBuilder::new(&context)
                .backend(backend)
                .data(self.state.clone())
                .build(handle);
            self.contexts.push(context);
            self.running
                .spawn(async move { worker.run().await.map_err(|error| error.to_string()) });
        }
        Ok(())
    }

    async fn stop(&mut self) -> Result<()> {
        for context in &self.contexts {
            context.stop()?;
        }
        while let Some(ended) = self.running.join_next().await {
            ended?.map_err(|error| anyhow!(error))?;
        }
        self.state.pool.close().await;
        Ok(())
    }
}

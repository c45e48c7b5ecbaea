//! underway.

use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use async_trait::async_trait;
use jiff::ToSpan;
use serde::{Deserialize, Serialize};
use sqlx_08::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx_08::{Connection, PgConnection, PgPool, Postgres, Transaction};
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;
use underway::{Queue, Task};

use super::{Ballast, Client, Family, Handler, System, Worker};
use crate::meter::Meter;
use crate::modes::Mode;
use crate::server::Database;

const QUEUE: &str = "bench";
const CONCURRENCY: usize = 16;
const POOL: u32 = 40;

/// Each look starts one more loop, up to the concurrency.
const POLL_MS: i64 = 5;

#[derive(Debug)]
pub struct Underway;

#[derive(Clone, Serialize, Deserialize)]
struct Payload {
    n: u64,
}

#[derive(Clone)]
struct Handling {
    handler: Handler,
    meter: Arc<Meter>,
}

impl Task for Handling {
    type Input = Payload;
    type Output = ();

    async fn execute(
        &self,
        mut tx: Transaction<'_, Postgres>,
        payload: Payload,
    ) -> underway::task::Result<()> {
        match self.handler {
            Handler::Nothing => {}
            Handler::Waits => sleep(Duration::from_millis(1)).await,
            Handler::Inserts => {
                sqlx_08::query("insert into effect (n) values ($1)")
                    .bind(payload.n.cast_signed())
                    .execute(&mut *tx)
                    .await?;
            }
        }
        tx.commit().await?;
        self.meter.ran(payload.n);
        Ok(())
    }
}

#[async_trait]
impl System for Underway {
    fn name(&self) -> &'static str {
        "underway"
    }

    fn family(&self) -> Family {
        Family::Peer
    }

    fn settings(&self) -> String {
        format!(
            "0.2: {CONCURRENCY} at once, a look every {POLL_MS} ms beside its listener, pool of \
             {POOL}; a handler runs in the transaction that completes its task"
        )
    }

    fn absent_from(&self, mode: &Mode) -> Option<&'static str> {
        super::too_slow_to_grow(mode)
    }

    async fn set_up(&self, db: &Database) -> Result<()> {
        let pool = pool(&db.url, 1).await?;
        let migrated = pool.clone();
        // Its future cannot be proven to be `Send`.
        let migrating =
            spawn_blocking(move || Handle::current().block_on(underway::run_migrations(&migrated)));
        migrating.await??;
        queue(&pool).await?;
        pool.close().await;
        Ok(())
    }

    fn preload(&self, _handler: Handler, numbers: Range<u64>) -> String {
        let (first, end) = (numbers.start, numbers.end);
        format!(
            "insert into underway.task (id, task_queue_name, input)
             select gen_random_uuid(), '{QUEUE}', jsonb_build_object('n', n)
             from generate_series({first}::bigint, {end}::bigint - 1) as n"
        )
    }

    fn ballast(&self, _ballast: Ballast, _rows: u64) -> Option<String> {
        None
    }

    async fn client(&self, db: &Database) -> Result<Box<dyn Client>> {
        let pool = pool(&db.url, 1).await?;
        let queue = queue(&pool).await?;
        pool.close().await;
        Ok(Box::new(UnderwayClient {
            connection: PgConnection::connect(&db.url).await?,
            queue,
            task: Handling {
                handler: Handler::Nothing,
                meter: Arc::new(Meter::counting(0)),
            },
        }))
    }

    async fn worker(
        &self,
        url: &str,
        handler: Handler,
        meter: Arc<Meter>,
    ) -> Result<Box<dyn Worker>> {
        let pool = pool(url, POOL).await?;
        let task = Handling { handler, meter };
        let mut worker = underway::Worker::new(Arc::new(queue(&pool).await?), task);
        worker.set_concurrency_limit(CONCURRENCY);
        Ok(Box::new(UnderwayWorker {
            pool,
            worker,
            running: None,
        }))
    }

    async fn is_completing(&self, db: &Database) -> Result<bool> {
        db.is("select exists (select from underway.task where state in ('pending', 'in_progress'))")
            .await
    }

    async fn left(&self, db: &Database) -> Result<u64> {
        db.count("select count(*) from underway.task where state <> 'succeeded'")
            .await
    }
}

async fn pool(url: &str, size: u32) -> Result<PgPool> {
    Ok(PgPoolOptions::new()
        .max_connections(size)
        .connect_with(PgConnectOptions::from_str(url)?)
        .await?)
}

async fn queue(pool: &PgPool) -> Result<Queue<Handling>> {
    Ok(Queue::builder()
        .name(QUEUE)
        .pool(pool.clone())
        .build()
        .await?)
}

struct UnderwayClient {
    connection: PgConnection,
    queue: Queue<Handling>,
    task: Handling,
}

#[async_trait]
impl Client for UnderwayClient {
    async fn enqueue(&mut self, number: u64) -> Result<()> {
        let payload = Payload { n: number };
        self.queue
            .enqueue(&mut self.connection, &self.task, &payload)
            .await?;
        Ok(())
    }

    async fn enqueue_many(&mut self, numbers: Range<u64>) -> Result<()> {
        let payloads: Vec<_> = numbers.map(|n| Payload { n }).collect();
        self.queue
            .enqueue_multi(&mut self.connection, &self.task, &payloads)
            .await?;
        Ok(())
    }
}

struct UnderwayWorker {
    pool: PgPool,
    worker: underway::Worker<Handling>,
    running: Option<JoinHandle<Result<(), String>>>,
}

#[async_trait]
impl Worker for UnderwayWorker {
    async fn run(&mut self) -> Result<()> {
        let worker = self.worker.clone();
        self.running = Some(tokio::spawn(async move {
            worker
                .run_every(POLL_MS.milliseconds())
                .await
                .map_err(|error| error.to_string())
        }));
        Ok(())
    }

    async fn stop(&mut self) -> Result<()> {
        self.worker.shutdown();
        if let Some(running) = self.running.take() {
            running.await?.map_err(|error| anyhow!(error))?;
        }
        self.pool.close().await;
        Ok(())
    }
}

//! sqlxmq.

use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use sqlx_08::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx_08::{Connection, PgConnection, PgPool};
use sqlxmq::{CurrentJob, JobRegistry, JobRunnerHandle};
use tokio::time::sleep;

use super::{Ballast, Client, Family, Handler, System, Worker};
use crate::meter::Meter;
use crate::modes::Mode;
use crate::server::Database;

const SCHEMA: &str = include_str!("../../peers/sqlxmq.sql");
const LEAST_AT_ONCE: usize = 64;
const MOST_AT_ONCE: usize = 128;
const POOL: u32 = 32;

/// How long running handlers may take to end at a stop.
const ENDING: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub struct Sqlxmq;

#[derive(Serialize, Deserialize)]
struct Payload {
    n: u64,
}

/// What a handler needs.
#[derive(Clone)]
struct State {
    handler: Handler,
    meter: Arc<Meter>,
}

#[sqlxmq::job]
async fn handle(
    mut current: CurrentJob,
    state: State,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let Payload { n } = current.json()?.ok_or("no payload")?;
    match state.handler {
        Handler::Nothing => current.complete().await?,
        Handler::Waits => {
            sleep(Duration::from_millis(1)).await;
            current.complete().await?;
        }
        Handler::Inserts => {
            let mut tx = current.pool().begin().await?;
            sqlx_08::query("insert into effect (n) values ($1)")
                .bind(n.cast_signed())
                .execute(&mut *tx)
                .await?;
            current.complete_with_transaction(tx).await?;
        }
    }
    state.meter.ran(n);
    Ok(())
}

#[async_trait]
impl System for Sqlxmq {
    fn name(&self) -> &'static str {
        "sqlxmq"
    }

    fn family(&self) -> Family {
        Family::Peer
    }

    fn settings(&self) -> String {
        format!(
            "0.6: {LEAST_AT_ONCE} to {MOST_AT_ONCE} at once, pool of {POOL}; a handler that inserts \
             completes in its transaction; bulk is one call for each task, in one transaction"
        )
    }

    fn absent_from(&self, mode: &Mode) -> Option<&'static str> {
        super::too_slow_to_grow(mode)
    }

    async fn set_up(&self, db: &Database) -> Result<()> {
        db.execute(SCHEMA).await
    }

    fn preload(&self, _handler: Handler, numbers: Range<u64>) -> String {
        let (name, first, end) = (handle.name(), numbers.start, numbers.end);
        format!(
            "with made as (
                 select gen_random_uuid() as id, n
                 from generate_series({first}::bigint, {end}::bigint - 1) as n
             ), payload as (
                 insert into mq_payloads (id, name, payload_json)
                 select id, '{name}', jsonb_build_object('n', n) from made
             )
             insert into mq_msgs
                 (id, attempt_at, attempts, retry_backoff, channel_name, channel_args,
                  after_message_id)
             select id, now(), 5, interval '1 second', '', '', null from made"
        )
    }

    fn ballast(&self, _ballast: Ballast, _rows: u64) -> Option<String> {
        None
    }

    async fn client(&self, db: &Database) -> Result<Box<dyn Client>> {
        let connection = PgConnection::connect(&db.url).await?;
        Ok(Box::new(SqlxmqClient(connection)))
    }

    async fn worker(
        &self,
        url: &str,
        handler: Handler,
        meter: Arc<Meter>,
    ) -> Result<Box<dyn Worker>> {
        let pool = PgPoolOptions::new()
            .max_connections(POOL)
            .connect_with(PgConnectOptions::from_str(url)?)
            .await?;
        Ok(Box::new(SqlxmqRunner {
            state: State { handler, meter },
            pool,
            running: None,
        }))
    }

    async fn is_completing(&self, db: &Database) -> Result<bool> {
        db.is("select exists (select from mq_msgs where id <> uuid_nil())")
            .await
    }

    async fn left(&self, db: &Database) -> Result<u64> {
        db.count("select count(*) from mq_msgs where id <> uuid_nil()")
            .await
    }
}

struct SqlxmqClient(PgConnection);

#[async_trait]
impl Client for SqlxmqClient {
    async fn enqueue(&mut self, number: u64) -> Result<()> {
        enqueue(&mut self.0, number).await
    }

    async fn enqueue_many(&mut self, numbers: Range<u64>) -> Result<()> {
        let mut tx = self.0.begin().await?;
        for number in numbers {
            enqueue(&mut tx, number).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}

async fn enqueue(connection: &mut PgConnection, number: u64) -> Result<()> {
    handle
        .builder()
        .set_json(&Payload { n: number })?
        .spawn(connection)
        .await?;
    Ok(())
}

struct SqlxmqRunner {
    state: State,
    pool: PgPool,
    running: Option<JobRunnerHandle>,
}

#[async_trait]
impl Worker for SqlxmqRunner {
    async fn run(&mut self) -> Result<()> {
        let mut registry = JobRegistry::new(&[handle]);
        registry.set_context(self.state.clone());
        let runner = registry
            .runner(&self.pool)
            .set_concurrency(LEAST_AT_ONCE, MOST_AT_ONCE)
            .run()
            .await?;
        self.running = Some(runner);
        Ok(())
    }

    async fn stop(&mut self) -> Result<()> {
        let mut runner = self.running.take().context("it does not run")?;
        runner.stop().await;
        runner.wait_jobs_finish(ENDING).await;
        drop(runner);
        self.pool.close().await;
        Ok(())
    }
}

//! taskq with handlers that insert their payloads in the transaction that completes their tasks: one by one, and many by
//! one statement.

use std::ops::Range;
use std::sync::Arc;

use anyhow::{Result, bail};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use taskq::Payload;
use taskq::handler::TaskSet;

use super::taskq::TaskqWorker;
use super::{Ballast, Client, Family, Handler, System, Worker, taskq as own};
use crate::meter::Meter;
use crate::modes::Mode;
use crate::server::{Database, pool_of};

/// Handlers at once, each with a connection: as where one inserts, and as batches need them.
const SLOTS: usize = own::CONNECTIONS;
const SLOTS_OF_BATCHES: usize = 4;

/// Connections that a worker needs beside those of its handlers.
const OWN_CONNECTIONS: usize = 6;

/// The payload that the table refuses, where one is poisoned.
pub const POISON: u64 = 613;

#[taskq::task]
async fn insert_one(tx: &mut PgConnection, meter: &Meter, n: i64) -> sqlx::Result<()> {
    sqlx::query("insert into effect (n) values ($1)")
        .bind(n)
        .execute(tx)
        .await?;
    meter.ran(n.cast_unsigned());
    Ok(())
}

#[derive(Serialize, Deserialize, Payload)]
struct Hundred {
    n: i64,
}

#[taskq::task(retry = "fixed(10ms)")]
async fn insert_hundred(
    #[batch(100, "50ms")] rows: Vec<Hundred>,
    tx: &mut PgConnection,
    meter: &Meter,
) -> sqlx::Result<()> {
    insert(tx, meter, rows.iter().map(|row| row.n).collect()).await
}

#[derive(Serialize, Deserialize, Payload)]
struct Thousand {
    n: i64,
}

#[taskq::task(retry = "fixed(10ms)")]
async fn insert_thousand(
    #[batch(1000, "50ms")] rows: Vec<Thousand>,
    tx: &mut PgConnection,
    meter: &Meter,
) -> sqlx::Result<()> {
    insert(tx, meter, rows.iter().map(|row| row.n).collect()).await
}

async fn insert(tx: &mut PgConnection, meter: &Meter, numbers: Vec<i64>) -> sqlx::Result<()> {
    sqlx::query("insert into effect (n) select * from unnest($1::bigint[])")
        .bind(&numbers)
        .execute(tx)
        .await?;
    for n in numbers {
        meter.ran(n.cast_unsigned());
    }
    Ok(())
}

/// How many payloads a handler is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batch {
    One,
    Hundred,
    Thousand,
}

async fn worker<S: TaskSet>(url: &str, meter: Arc<Meter>, slots: usize) -> Result<TaskqWorker> {
    let pool = pool_of(url, u32::try_from(slots + OWN_CONNECTIONS)?).await?;
    let builder = taskq::Worker::builder(pool.clone())
        .state_arc(meter)
        .only::<S>()
        .queue("default", slots);
    Ok(TaskqWorker::new(pool, builder.build().await?))
}

#[async_trait]
impl System for Batch {
    fn name(&self) -> &'static str {
        "taskq"
    }

    fn family(&self) -> Family {
        Family::Taskq
    }

    fn settings(&self) -> String {
        format!(
            "queue(\"default\", {SLOTS}) one by one, queue(\"default\", {SLOTS_OF_BATCHES}) in batches"
        )
    }

    fn absent_from(&self, _: &Mode) -> Option<&'static str> {
        None
    }

    async fn set_up(&self, db: &Database) -> Result<()> {
        Ok(taskq::migrate(&db.pool).await?)
    }

    fn preload(&self, _: Handler, numbers: Range<u64>) -> String {
        let task_type = match self {
            Self::One => InsertOne::TASK_TYPE,
            Self::Hundred => Hundred::TASK_TYPE,
            Self::Thousand => Thousand::TASK_TYPE,
        };
        let (first, end) = (numbers.start, numbers.end);
        format!(
            "insert into taskq.task (task_type, payload)
             select '{task_type}', jsonb_build_object('n', n)
             from generate_series({first}::bigint, {end}::bigint - 1) as n"
        )
    }

    fn ballast(&self, _: Ballast, _: u64) -> Option<String> {
        None
    }

    async fn client(&self, _: &Database) -> Result<Box<dyn Client>> {
        bail!("these tasks are not enqueued one by one")
    }

    async fn worker(&self, url: &str, _: Handler, meter: Arc<Meter>) -> Result<Box<dyn Worker>> {
        Ok(Box::new(match self {
            Self::One => worker::<(InsertOne,)>(url, meter, SLOTS).await?,
            Self::Hundred => {
                worker::<(InsertHundredHandler,)>(url, meter, SLOTS_OF_BATCHES).await?
            }
            Self::Thousand => {
                worker::<(InsertThousandHandler,)>(url, meter, SLOTS_OF_BATCHES).await?
            }
        }))
    }

    async fn is_completing(&self, db: &Database) -> Result<bool> {
        own::is_completing(db).await
    }

    async fn left(&self, db: &Database) -> Result<u64> {
        own::left(db).await
    }
}

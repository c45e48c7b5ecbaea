//! Plain statements that do the same work on the same tables: what this Postgres can do. And plain statements of the
//! simplest queue there is: each transaction takes a task, and its rollback would bring it back.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use anyhow::Result;
use async_trait::async_trait;
use serde::Deserialize;
use sqlx::types::Json;
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::taskq::{self, CONNECTIONS, Taskq};
use super::{Ballast, Client, Family, Handler, System, Worker};
use crate::meter::Meter;
use crate::modes::Mode;
use crate::server::Database;

/// Connections that drain in batches.
const DRAINING: usize = 2;

const BATCH: i64 = 1_000;

/// A claim: the batch leaves the waiting rows and is one lease row. Its commit need not wait for the
/// disk; the completion's does.
const CLAIM: &str = "
with due as materialized (
    select ctid
    from taskq.task
    where queue = 'default'
      and task_type = 'do_nothing'
      and payload_version = 0
      and crashes = 0
      and priority = 0
      and run_at <= now()
    order by run_at, task_id
    limit $2
    for update skip locked
),
batch as (
    delete from taskq.task
    where ctid = any (array(select ctid from due))
    returning task_id, payload
),
lease as (
    insert into bare_lease (lease_id, expires_at, task_ids, payloads)
    select $1, now() + interval '30 seconds', array_agg(task_id), array_agg(payload)
    from batch
    cross join (select set_config('synchronous_commit', 'off', true)) as unhurried
    having count(*) > 0
)
select payload
from batch";

/// Takes a task into the transaction that also does its work.
const TAKE: &str = "
delete from taskq.task
where ctid = any (
    array(
        select ctid
        from taskq.task
        where queue = 'default'
          and task_type = 'insert_a_row'
          and payload_version = 0
          and crashes = 0
          and priority = 0
          and run_at <= now()
        order by run_at, task_id
        limit 1
        for update skip locked
    )
)
returning payload";

const INSERT: &str = "
insert into taskq.task (task_type, payload, queue, priority, max_attempts, run_at)
values ('do_nothing', $1, 'default', 0, 25, now())
returning task_id";

const INSERT_MANY: &str = "
insert into taskq.task (task_type, payload, queue, priority, max_attempts, run_at)
select 'do_nothing', given.payload, 'default', 0, 25, now()
from unnest($1::jsonb[]) as given (payload)";

#[derive(Debug)]
pub struct Bare {
    /// Whether each transaction looks for its task, and does not know its id in advance.
    takes: bool,
}

impl Bare {
    pub const GIVEN: Self = Self { takes: false };
    pub const TAKING: Self = Self { takes: true };
}

#[async_trait]
impl System for Bare {
    fn name(&self) -> &'static str {
        match self.takes {
            true => "skip locked",
            false => "bare SQL",
        }
    }

    fn family(&self) -> Family {
        Family::Bare
    }

    fn settings(&self) -> String {
        if self.takes {
            return format!(
                "as bare SQL; {CONNECTIONS} connections begin, delete one task for update skip \
                 locked, insert a row, commit"
            );
        }
        format!(
            "taskq's table and indexes without its trigger. Drain: {DRAINING} connections delete \
             batches of {BATCH} by ctid into a lease row, and delete that; in a transaction \
             {CONNECTIONS} connections begin, insert a row, delete one task, commit. Inserts: \
             begin, insert, commit, with taskq's worker beside; bulk by unnest"
        )
    }

    fn absent_from(&self, mode: &Mode) -> Option<&'static str> {
        match mode {
            Mode::Drain(Handler::Inserts) => None,
            _ if self.takes => Some("it takes tasks into transactions, and does nothing else"),
            Mode::Drain(Handler::Waits) => Some("it has no handlers that could wait"),
            Mode::Latency(_) => Some("it has no workers that could be woken"),
            _ => None,
        }
    }

    async fn set_up(&self, db: &Database) -> Result<()> {
        ::taskq::migrate(&db.pool).await?;
        db.execute(
            "create table bare_lease (
                 lease_id   uuid        primary key,
                 expires_at timestamptz not null,
                 task_ids   bigint[]    not null,
                 payloads   jsonb[]     not null
             );
             alter table taskq.task disable trigger user",
        )
        .await
    }

    fn preload(&self, handler: Handler, numbers: Range<u64>) -> String {
        taskq::preload(handler, numbers)
    }

    fn ballast(&self, ballast: Ballast, rows: u64) -> Option<String> {
        Some(taskq::ballast(ballast, rows))
    }

    async fn client(&self, db: &Database) -> Result<Box<dyn Client>> {
        Ok(Box::new(BareClient(PgConnection::connect(&db.url).await?)))
    }

    async fn worker(
        &self,
        url: &str,
        handler: Handler,
        meter: Arc<Meter>,
    ) -> Result<Box<dyn Worker>> {
        let connections = match handler {
            Handler::Inserts => CONNECTIONS,
            Handler::Nothing | Handler::Waits => DRAINING,
        };
        let mut loops = BareLoops {
            url: url.to_owned(),
            handler,
            takes: self.takes,
            meter,
            connections: Vec::new(),
            rows: Vec::new(),
            stopping: Arc::default(),
            running: JoinSet::new(),
        };
        for _ in 0..connections {
            loops.connections.push(PgConnection::connect(url).await?);
        }
        if handler == Handler::Inserts && !self.takes {
            loops.rows = loops.rows_given_in_advance().await?;
        }
        Ok(Box::new(loops))
    }

    async fn worker_beside(&self, url: &str, meter: Arc<Meter>) -> Result<Box<dyn Worker>> {
        Taskq::DEFAULTS.worker_beside(url, meter).await
    }

    async fn is_completing(&self, db: &Database) -> Result<bool> {
        db.is("select exists (select from bare_lease)").await
    }

    async fn left(&self, db: &Database) -> Result<u64> {
        Ok(taskq::left(db).await? + db.count("select count(*) from bare_lease").await?)
    }
}

#[derive(Deserialize)]
struct Payload {
    n: u64,
}

struct BareClient(PgConnection);

#[async_trait]
impl Client for BareClient {
    async fn enqueue(&mut self, number: u64) -> Result<()> {
        insert(&mut self.0, number).await
    }

    async fn enqueue_in_transaction(&mut self, number: u64) -> Result<()> {
        let mut tx = self.0.begin().await?;
        insert(&mut tx, number).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn enqueue_many(&mut self, numbers: Range<u64>) -> Result<()> {
        let payloads: Vec<_> = numbers
            .map(|n| Json(serde_json::json!({ "n": n })))
            .collect();
        let mut tx = self.0.begin().await?;
        sqlx::query(INSERT_MANY)
            .bind(payloads)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }
}

async fn insert(connection: &mut PgConnection, number: u64) -> Result<()> {
    sqlx::query_scalar::<_, i64>(INSERT)
        .bind(Json(serde_json::json!({ "n": number })))
        .fetch_one(connection)
        .await?;
    Ok(())
}

struct BareLoops {
    url: String,
    handler: Handler,
    takes: bool,
    meter: Arc<Meter>,
    connections: Vec<PgConnection>,
    /// Ids and numbers, for the loops that delete one row at a time.
    rows: Vec<(i64, i64)>,
    stopping: Arc<AtomicBool>,
    running: JoinSet<Result<()>>,
}

impl BareLoops {
    async fn rows_given_in_advance(&self) -> Result<Vec<(i64, i64)>> {
        let mut connection = PgConnection::connect(&self.url).await?;
        let rows = sqlx::query_as(
            "select task_id, (payload ->> 'n')::bigint from taskq.task order by task_id",
        )
        .fetch_all(&mut connection)
        .await?;
        connection.close().await?;
        Ok(rows)
    }
}

#[async_trait]
impl Worker for BareLoops {
    async fn run(&mut self) -> Result<()> {
        let connections = std::mem::take(&mut self.connections);
        let count = connections.len();
        for (at, connection) in connections.into_iter().enumerate() {
            let (meter, stopping) = (self.meter.clone(), self.stopping.clone());
            match self.handler {
                Handler::Inserts if self.takes => {
                    self.running.spawn(taking(connection, meter, stopping));
                }
                Handler::Inserts => {
                    let rows = self.rows.iter().skip(at).step_by(count).copied().collect();
                    self.running
                        .spawn(one_by_one(connection, rows, meter, stopping));
                }
                Handler::Nothing | Handler::Waits => {
                    self.running.spawn(in_batches(connection, meter, stopping));
                }
            }
        }
        Ok(())
    }

    async fn stop(&mut self) -> Result<()> {
        self.stopping.store(true, Relaxed);
        while let Some(ended) = self.running.join_next().await {
            ended??;
        }
        Ok(())
    }
}

async fn in_batches(
    mut connection: PgConnection,
    meter: Arc<Meter>,
    stopping: Arc<AtomicBool>,
) -> Result<()> {
    while !stopping.load(Relaxed) {
        let lease_id = Uuid::new_v4();
        let batch: Vec<Json<Payload>> = sqlx::query_scalar(CLAIM)
            .bind(lease_id)
            .bind(BATCH)
            .fetch_all(&mut connection)
            .await?;
        if batch.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            continue;
        }
        for Json(payload) in &batch {
            meter.ran(payload.n);
        }
        sqlx::query("delete from bare_lease where lease_id = $1")
            .bind(lease_id)
            .execute(&mut connection)
            .await?;
    }
    connection.close().await?;
    Ok(())
}

async fn one_by_one(
    mut connection: PgConnection,
    rows: Vec<(i64, i64)>,
    meter: Arc<Meter>,
    stopping: Arc<AtomicBool>,
) -> Result<()> {
    for (task_id, number) in rows {
        if stopping.load(Relaxed) {
            break;
        }
        let mut tx = connection.begin().await?;
        sqlx::query("insert into effect (n) values ($1)")
            .bind(number)
            .execute(&mut *tx)
            .await?;
        sqlx::query("delete from taskq.task where task_id = $1")
            .bind(task_id)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        meter.ran(number.cast_unsigned());
    }
    connection.close().await?;
    Ok(())
}

async fn taking(
    mut connection: PgConnection,
    meter: Arc<Meter>,
    stopping: Arc<AtomicBool>,
) -> Result<()> {
    while !stopping.load(Relaxed) {
        let mut tx = connection.begin().await?;
        let taken = sqlx::query_scalar(TAKE).fetch_optional(&mut *tx).await?;
        let Some(Json(Payload { n })) = taken else {
            tx.rollback().await?;
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            continue;
        };
        sqlx::query("insert into effect (n) values ($1)")
            .bind(n.cast_signed())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        meter.ran(n);
    }
    connection.close().await?;
    Ok(())
}

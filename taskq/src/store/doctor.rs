//! What is wrong, and what only a client can see of the way to the server.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use serde::Deserialize;
use sqlx::types::Json;
use sqlx::{Connection, Error, PgConnection, PgPool, Row, query, query_scalar, raw_sql};

use super::{Signed, Store};

impl Store<'_> {
    /// Tells what is wrong, as `doctor.sql` says it.
    pub(crate) async fn doctor<T>(&mut self, patience: Duration) -> Result<Vec<T>, Error>
    where
        T: for<'de> Deserialize<'de> + Send + Unpin + 'static,
    {
        let query = query_scalar(self.schema.sql.doctor).bind(patience.as_secs_f64());
        let Json(ailments) = self.call(async |db| query.fetch_one(db).await).await?;
        Ok(ailments)
    }

    /// Tells what somebody has acknowledged, as `acknowledged.sql` says it.
    pub(crate) async fn acknowledged<T>(&mut self) -> Result<Vec<T>, Error>
    where
        T: for<'de> Deserialize<'de> + Send + Unpin + 'static,
    {
        let query = query_scalar(self.schema.sql.acknowledged);
        let Json(acknowledged) = self.call(async |db| query.fetch_one(db).await).await?;
        Ok(acknowledged)
    }

    /// Says that somebody knows of a trouble, by its problem, subject and severity.
    pub(crate) async fn acknowledge(
        &mut self,
        [problem, subject, severity]: [&str; 3],
        until: Option<DateTime<Utc>>,
        signed: &Signed,
    ) -> Result<(), Error> {
        let query = query(self.schema.sql.acknowledge)
            .bind(problem)
            .bind(subject)
            .bind(severity)
            .bind(until)
            .bind(&signed.reason)
            .bind(&signed.by);
        self.execute(query).await
    }

    /// Has it count again. Returns whether it was acknowledged.
    pub(crate) async fn unacknowledge(
        &mut self,
        [problem, subject]: [&str; 2],
        signed: &Signed,
    ) -> Result<bool, Error> {
        let query = query_scalar(self.schema.sql.unacknowledge)
            .bind(problem)
            .bind(subject)
            .bind(&signed.reason)
            .bind(&signed.by);
        self.call(async |db| query.fetch_one(db).await).await
    }

    /// Tells why a task does not run, as `why.sql` says it.
    pub(crate) async fn why<T>(&mut self, task_id: i64) -> Result<Vec<T>, Error>
    where
        T: for<'de> Deserialize<'de> + Send + Unpin + 'static,
    {
        let query = query_scalar(self.schema.sql.why).bind(task_id);
        let Json(reasons) = self.call(async |db| query.fetch_one(db).await).await?;
        Ok(reasons)
    }

    /// Tells which attempts are perhaps stuck, as `stuck.sql` says it.
    pub(crate) async fn stuck<T>(&mut self) -> Result<Vec<T>, Error>
    where
        T: for<'de> Deserialize<'de> + Send + Unpin + 'static,
    {
        let query = query_scalar(self.schema.sql.stuck);
        let Json(stuck) = self.call(async |db| query.fetch_one(db).await).await?;
        Ok(stuck)
    }
}

/// What a client sees of the way to the server.
#[derive(Debug)]
pub(crate) struct Way {
    /// By how many seconds the clock of this process is ahead of that of Postgres.
    pub(crate) ahead: f64,
    /// Whether statements of one connection reach several sessions.
    pub(crate) is_pooled: bool,
}

/// Looks at the way to the server, on two connections of its own.
pub(crate) async fn look_at_way(pool: &PgPool) -> Result<Way, Error> {
    let options = pool.connect_options();
    let mut idle = PgConnection::connect_with(&options).await?;
    let mut busy = PgConnection::connect_with(&options).await?;
    let way = Way {
        ahead: ahead(&mut idle).await?,
        is_pooled: is_pooled(&mut idle, &mut busy).await?,
    };
    idle.close().await?;
    busy.close().await?;
    Ok(way)
}

async fn ahead(db: &mut PgConnection) -> Result<f64, Error> {
    let since_epoch = || {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(0.0, |since| since.as_secs_f64())
    };
    let before = since_epoch();
    let now = raw_sql("select extract(epoch from clock_timestamp())::float8");
    let now: f64 = now.fetch_one(db).await?.try_get(0)?;
    Ok(f64::midpoint(before, since_epoch()) - now)
}

/// Tells whether a pooler gives the session of an idle connection to another one that begins a transaction.
async fn is_pooled(idle: &mut PgConnection, busy: &mut PgConnection) -> Result<bool, Error> {
    let first = backend(idle).await?;
    raw_sql("begin").execute(&mut *busy).await?;
    let taken = backend(busy).await?;
    let second = backend(idle).await?;
    raw_sql("rollback").execute(&mut *busy).await?;
    Ok(taken == first || second != first)
}

/// Returns the session behind a connection. No prepared statement: not all poolers know them.
async fn backend(db: &mut PgConnection) -> Result<i32, Error> {
    let row = raw_sql("select pg_backend_pid()").fetch_one(db).await?;
    row.try_get(0)
}

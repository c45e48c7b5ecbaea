//! Claiming from limited lanes, and which lanes those are.

use std::time::Duration;

use sqlx::postgres::{PgExecutor, PgRow};
use sqlx::{Connection, Error, FromRow, Row, query_as};
use uuid::Uuid;

use super::claimed::{ClaimedLease, Scarcity};
use super::session::BEGIN;
use super::{Schema, Store, column, saturating_i32, saturating_i64};
use crate::faults::crash_point;
use crate::lane::{LimitedEnd, LimitedScopes, Scope, Share};

/// What a claim from a limited lane asks for.
#[derive(Debug)]
pub(crate) struct LimitedRequest<'a> {
    pub(crate) worker_id: Uuid,
    pub(crate) lease_duration: Duration,
    pub(crate) queue: &'a str,
    /// The names of the task type, first the one by which it is limited.
    pub(crate) names: &'a [&'a str],
    pub(crate) share: &'a Share,
    /// Where to begin in a lane without keys, and how many tasks to take there.
    pub(crate) starts: &'a [Share],
    /// How many tasks would start at once.
    pub(crate) slots: usize,
    /// Behind which key to go on.
    pub(crate) from_key: Option<&'a str>,
    /// The keys of which something has ended since a claim found the lane full, where no other can have room.
    pub(crate) freed: Option<&'a [String]>,
    /// Whether the handler completes its task in its own transaction.
    pub(crate) is_transactional: bool,
    /// Whether tasks may have keys of which one runs at a time.
    pub(crate) takes_turns: bool,
}

impl Store<'_> {
    /// Claims due tasks of a limited lane, and returns the leases on them, and what else the claim tells.
    pub(crate) async fn claim_limited(
        &mut self,
        request: &LimitedRequest<'_>,
    ) -> Result<(Vec<ClaimedLease>, LimitedEnd), Error> {
        let share = request.share;
        crash_point("before_claim");
        let statement = self.schema.sql.claim_limited;
        let query = || {
            sqlx::query(statement)
                .bind(request.worker_id)
                .bind(request.lease_duration.as_secs_f64())
                .bind(request.queue)
                .bind(request.names)
                .bind(&share.lane.task_type)
                .bind(share.lane.payload_version)
                .bind(share.lane.crashes)
                .bind(share.lane.priority)
                .bind(saturating_i64(share.limit))
                .bind(saturating_i64(request.slots))
                .bind(request.from_key)
                .bind(column(request.starts, |it| it.cursor.run_at))
                .bind(column(request.starts, |it| it.cursor.task_id))
                .bind(column(request.starts, |it| saturating_i32(it.limit)))
                .bind(request.is_transactional)
                .bind(request.takes_turns)
                .bind(request.freed)
        };
        let claimed = self.call(async |db| match query().fetch_all(&mut *db).await {
            // The database defaults to another isolation level, with which a statement does not see what others did.
            Err(error) if is_isolated(&error) => {
                let mut tx = db.begin_with(BEGIN).await?;
                let claimed = query().fetch_all(&mut *tx).await?;
                tx.commit().await?;
                Ok(claimed)
            }
            claimed => claimed,
        });
        let claimed = claimed.await;
        crash_point("after_claim");
        let (mut leases, mut end) = (Vec::new(), LimitedEnd::default());
        for row in claimed? {
            if row.try_get::<Option<Uuid>, _>("lease_id")?.is_none() {
                end = LimitedEnd::from_row(&row)?;
                continue;
            }
            let scarcity = match row.try_get::<Option<bool>, _>("is_scarce")? {
                Some(true) => Scarcity::Scarce,
                _ => Scarcity::Limited,
            };
            leases.push(ClaimedLease {
                scarcity,
                limited_key: row.try_get("limited_key")?,
                ..ClaimedLease::of(&row, None)?
            });
        }
        Ok((leases, end))
    }

    /// Gives rates back what so many tasks of each of these leases have cost, which have not started.
    pub(crate) async fn return_starts(&mut self, unstarted: &[(Uuid, i64)]) -> Result<(), Error> {
        let query = sqlx::query(self.schema.sql.return_starts)
            .bind(column(unstarted, |(lease_id, _)| *lease_id))
            .bind(column(unstarted, |(_, number)| *number));
        self.execute(query).await
    }

    /// Tells which queues and task types are limited.
    pub(crate) async fn limits(&mut self) -> Result<LimitedScopes, Error> {
        let schema = self.schema;
        self.call(async |db| read_limits(db, schema).await).await
    }
}

/// Tells which queues and task types are limited, on any connection.
pub(crate) async fn read_limits(
    db: impl PgExecutor<'_>,
    schema: Schema,
) -> Result<LimitedScopes, Error> {
    let rows: Vec<(String, String, bool)> = query_as(schema.sql.limits).fetch_all(db).await?;
    let mut found = LimitedScopes::default();
    for (scope, name, is_fair) in rows {
        match is_fair {
            true => found.fair.insert(name),
            false => found.scopes.insert(Scope::of(&scope, name)),
        };
    }
    Ok(found)
}

/// Tells whether Postgres refuses a claim within limits because of the isolation level.
fn is_isolated(error: &Error) -> bool {
    const INVALID_TRANSACTION_STATE: &str = "25000";
    let code = error.as_database_error().and_then(|error| error.code());
    code.as_deref() == Some(INVALID_TRANSACTION_STATE)
}

impl<'r> FromRow<'r, PgRow> for LimitedEnd {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        let opens_in: Option<f64> = row.try_get("opens_in")?;
        Ok(Self {
            last_key: row.try_get("last_key")?,
            is_end: row.try_get("is_end")?,
            is_busy: row.try_get("is_busy")?,
            opens_in: opens_in.map(|seconds| {
                Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
            }),
        })
    }
}

//! Limits: what operators say of them, and what they are.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{Error, FromRow, Row, query_as};

use super::{Signed, Store};
use crate::lane::{Bound, Limit, LimitScope, Overridden};

impl Store<'_> {
    /// Limits a queue, a task type or each key of one, and returns the limit that held before, if one did.
    #[expect(
        clippy::too_many_arguments,
        reason = "they are what the statement takes"
    )]
    pub(crate) async fn put_limit(
        &mut self,
        scope: &LimitScope,
        kind: &str,
        bound: Option<Bound>,
        burst: Option<u32>,
        reason: Option<&str>,
        until: Option<DateTime<Utc>>,
        by: Option<&str>,
    ) -> Result<Option<Limit>, Error> {
        let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        let (of, name) = scope.parts();
        let (most, seconds) = match bound {
            None => (None, None),
            Some(Bound::Concurrency(most)) => (Some(most), None),
            Some(Bound::Rate { most, per, .. }) => (Some(most), Some(per.as_secs_f64())),
            // Nobody says that but a program, and Postgres refuses it.
            Some(Bound::Sequence { .. } | Bound::Fair) => (Some(1), None),
        };
        let query = query_as(self.schema.sql.put_limit)
            .bind(of)
            .bind(name)
            .bind(kind)
            .bind(most.map(number))
            .bind(seconds)
            .bind(burst.filter(|_| seconds.is_some()).map(number))
            .bind(reason)
            .bind(until)
            .bind(by);
        self.call(async |db| query.fetch_optional(db).await).await
    }

    /// Has what is declared hold again, and returns what was said in its place.
    pub(crate) async fn end_limit(
        &mut self,
        scope: &LimitScope,
        signed: &Signed,
    ) -> Result<Vec<Limit>, Error> {
        let (of, name) = scope.parts();
        let query = query_as(self.schema.sql.end_limit)
            .bind(of)
            .bind(name)
            .bind(&signed.reason)
            .bind(&signed.by);
        self.call(async |db| query.fetch_all(db).await).await
    }

    /// Tells all limits.
    pub(crate) async fn all_limits(&mut self) -> Result<Vec<Limit>, Error> {
        let query = query_as(self.schema.sql.all_limits);
        self.call(async |db| query.fetch_all(db).await).await
    }
}

impl<'r> FromRow<'r, PgRow> for Limit {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        let scope: String = row.try_get("scope")?;
        let overridden = match row.try_get("is_overridden")? {
            true => Some(Overridden {
                at: row.try_get("overridden_at")?,
                by: row.try_get("by")?,
                reason: row.try_get("reason")?,
                until: row.try_get("until")?,
            }),
            false => None,
        };
        Ok(Self {
            scope: LimitScope::of(&scope, row.try_get("name")?),
            kind: row.try_get("kind")?,
            in_force: bound(row, "most", "seconds", "burst")?,
            declared: bound(row, "declared_most", "declared_seconds", "declared_burst")?,
            fields: row.try_get("fields")?,
            overridden,
            since: row.try_get("since")?,
        })
    }
}

fn bound(row: &PgRow, most: &str, seconds: &str, burst: &str) -> Result<Option<Bound>, Error> {
    let number = |number: i32| u32::try_from(number).unwrap_or(0);
    let Some(most) = row.try_get::<Option<i32>, _>(most)?.map(number) else {
        return Ok(None);
    };
    if let Some(on_dead) = row.try_get::<Option<String>, _>("on_dead")? {
        return Ok(Some(Bound::Sequence {
            is_blocked_by_dead: on_dead == "block",
        }));
    }
    if row.try_get::<String, _>("kind")? == "fair" {
        return Ok(Some(Bound::Fair));
    }
    let seconds: Option<f64> = row.try_get(seconds)?;
    let burst: Option<i32> = row.try_get(burst)?;
    Ok(Some(match seconds {
        Some(seconds) => Bound::Rate {
            most,
            per: Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX),
            burst: burst.map_or(1, number),
        },
        None => Bound::Concurrency(most),
    }))
}

//! Every way out of a lease.
//!
//! A task leaves it completed, settled (retried, handed back, set aside …) or rescued. The tasks of
//! handlers that have a transaction leave it inside of that.

use std::borrow::Cow;

use sqlx::postgres::PgRow;
use sqlx::{Error, FromRow, Row, query_as, query_scalar, query_scalar_with};
use uuid::Uuid;

use super::{Refusal, Store, arguments, column, saturating_i32};
use crate::attempt::report::failure;
use crate::attempt::verdict::{Settlement, in_ascii};
use crate::faults::crash_point;

/// A task that was taken back from a vanished worker, as `move.sql` returns it.
#[derive(Debug)]
pub(crate) struct RescuedRow {
    pub(crate) task_id: i64,
    /// The task type, if the task was quarantined.
    pub(crate) quarantined: Option<String>,
}

impl Store<'_> {
    /// Completes all that is left of leases, given how much that is, and returns the leases for which
    /// that was right.
    pub(crate) async fn complete(&mut self, leases: &[(Uuid, usize)]) -> Result<Vec<Uuid>, Error> {
        crash_point("before_complete");
        let query = query_scalar(self.schema.sql.complete)
            .bind(column(leases, |(lease_id, _)| *lease_id))
            .bind(column(leases, |(_, remaining)| saturating_i32(*remaining)));
        let completed = self.call(async |db| query.fetch_all(db).await).await;
        crash_point("after_complete");
        completed
    }

    /// Does what [`complete`](Self::complete) does for tasks that are kept, given also the results of the tasks of each
    /// lease by their ids, as a JSON object.
    pub(crate) async fn complete_kept(
        &mut self,
        leases: &[(Uuid, usize)],
        results: &[Option<String>],
    ) -> Result<Vec<Uuid>, Error> {
        crash_point("before_complete");
        // Most task types have no results.
        let results = results.iter().any(Option::is_some).then_some(results);
        let query = query_scalar(self.schema.sql.complete_kept)
            .bind(column(leases, |(lease_id, _)| *lease_id))
            .bind(column(leases, |(_, remaining)| saturating_i32(*remaining)))
            .bind(results);
        let completed = self.call(async |db| query.fetch_all(db).await).await;
        crash_point("after_complete");
        completed
    }

    /// Completes tasks that leave others behind in their leases, given how much is left of each lease
    /// with them, and returns the leases for which that was right.
    pub(crate) async fn complete_some(
        &mut self,
        leases: &[(Uuid, usize)],
        tasks: &[(Uuid, i64)],
    ) -> Result<Vec<Uuid>, Error> {
        crash_point("before_complete");
        let query = query_scalar_with(self.schema.sql.complete_some, arguments(4))
            .bind(column(leases, |(lease_id, _)| *lease_id))
            .bind(column(leases, |(_, remaining)| saturating_i32(*remaining)))
            .bind(column(tasks, |(lease_id, _)| *lease_id))
            .bind(column(tasks, |(_, task_id)| *task_id));
        let completed = self.call(async |db| query.fetch_all(db).await).await;
        crash_point("after_complete");
        completed
    }

    /// Takes tasks out of their leases, and returns those whose outcome counted: the others were
    /// rescued, and belong to somebody else.
    pub(crate) async fn settle(
        &mut self,
        settlements: &[Settlement],
    ) -> Result<Vec<(Uuid, i64)>, Error> {
        crash_point("before_settle");
        let are_kept = |task: &Settlement| task.verdict.is_completion() && task.keep;
        let statement = if settlements.iter().any(|task| task.is_member) {
            self.schema.sql.settle_members
        } else if settlements.iter().all(are_kept) {
            self.schema.sql.settle_kept
        } else {
            self.schema.sql.settle
        };
        let settled = self.settle_by(statement, settlements).await;
        crash_point("after_settle");
        settled
    }

    /// Does what [`settle`](Self::settle) does for tasks that have completed and are not kept. No table but that of
    /// the leases can refuse it.
    pub(crate) async fn settle_completed(
        &mut self,
        settlements: &[Settlement],
    ) -> Result<Vec<(Uuid, i64)>, Error> {
        let statement = match settlements.iter().any(|task| task.is_member) {
            true => self.schema.sql.settle_completed_members,
            false => self.schema.sql.settle_completed,
        };
        self.settle_by(statement, settlements).await
    }

    async fn settle_by(
        &mut self,
        statement: &'static str,
        settlements: &[Settlement],
    ) -> Result<Vec<(Uuid, i64)>, Error> {
        let query = query_as(statement)
            .bind(column(settlements, |settlement| settlement.lease_id))
            .bind(column(settlements, |settlement| settlement.task_id))
            .bind(column(settlements, |settlement| settlement.verdict.name()))
            .bind(column(settlements, |settlement| {
                settlement.verdict.delay().as_secs_f64()
            }))
            .bind(column(settlements, |settlement| {
                let error = settlement.verdict.error().map(storable);
                error.map(|error| failure(&error, settlement.report.as_deref()))
            }))
            .bind(column(settlements, |settlement| settlement.keep))
            .bind(results(settlements));
        self.call(async |db| query.fetch_all(db).await).await
    }

    /// Sets a task aside whose outcome Postgres has refused.
    pub(crate) async fn set_aside(
        &mut self,
        settlement: &Settlement,
        refusal: &Refusal,
    ) -> Result<Vec<(Uuid, i64)>, Error> {
        let verdict = &settlement.verdict;
        let query = query_as(self.schema.sql.settle_refused)
            .bind([settlement.lease_id])
            .bind([settlement.task_id])
            .bind(["refused"])
            .bind([0.0_f64])
            .bind([verdict.error().map(|error| failure(&in_ascii(error), None))])
            .bind([false])
            .bind([refusal.stored(verdict.name())]);
        self.call(async |db| query.fetch_all(db).await).await
    }

    /// Takes back what is left of a lease, if it has run out, or some of it, and returns those tasks. With
    /// `quarantine_after` crashes a task does not wait again, but is set aside.
    pub(crate) async fn rescue(
        &mut self,
        lease_id: Uuid,
        quarantine_after: i32,
        some: Option<&[i64]>,
    ) -> Result<Vec<RescuedRow>, Error> {
        crash_point("before_rescue");
        let query = query_as(self.schema.sql.rescue)
            .bind(lease_id)
            .bind(quarantine_after)
            .bind(some)
            .bind(None::<String>);
        let rescued = self.call(async |db| query.fetch_all(db).await).await;
        crash_point("after_rescue");
        rescued
    }

    /// Sets a task aside that is left in a lease that ran out, and that Postgres refuses to take back.
    pub(crate) async fn set_expired_aside(
        &mut self,
        lease_id: Uuid,
        task_id: i64,
        refusal: &Refusal,
    ) -> Result<Vec<RescuedRow>, Error> {
        let query = query_as(self.schema.sql.rescue_refused)
            .bind(lease_id)
            .bind(i32::MAX)
            .bind(Some([task_id]))
            .bind(refusal.stored("rescued"));
        self.call(async |db| query.fetch_all(db).await).await
    }
}

/// Returns a column of results, and of marks for the metadata of tasks that wait, if there is any: most task types have
/// neither, and send nothing.
fn results(settlements: &[Settlement]) -> Option<Vec<Option<&str>>> {
    let results = column(settlements, |settlement| {
        settlement.verdict.result().or(settlement.mark.as_deref())
    });
    results.iter().any(Option::is_some).then_some(results)
}

// Text in Postgres holds no zero byte.
pub(crate) fn storable(error: &str) -> Cow<'_, str> {
    if error.contains('\0') {
        Cow::Owned(error.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(error)
    }
}

impl<'r> FromRow<'r, PgRow> for RescuedRow {
    fn from_row(row: &'r PgRow) -> Result<Self, Error> {
        Ok(Self {
            task_id: row.try_get("task_id")?,
            quarantined: row.try_get::<Option<String>, _>("quarantined")?,
        })
    }
}

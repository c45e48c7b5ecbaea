//! An operator that changes nothing.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::error::OperateError;
use crate::operate::audit::AuditPage;
use crate::operate::bulk::{Bulk, BulkFailure, Retried};
use crate::operate::cause::Causes;
use crate::operate::doctor::{Ailment, SharedLook};
use crate::operate::filter::Filter;
use crate::operate::gone::Gone;
use crate::operate::limit::Limit;
use crate::operate::list::{Cursor, Page};
use crate::operate::logs::AttemptLog;
use crate::operate::minutes::MinuteTotal;
use crate::operate::pause::{Operator, Pause};
#[cfg(feature = "cron")]
use crate::operate::schedule_status::ScheduleStatus;
use crate::operate::sequence::Blocked;
use crate::operate::show::TaskDetails;
use crate::operate::stats::Stats;
use crate::operate::weight::KeyWeight;
use crate::operate::workers::{Stuck, WorkerStatus};
#[cfg(feature = "cron")]
use crate::store::ScheduleRow;

/// Reads the tables, and has no method that changes them.
#[derive(Debug)]
pub(super) struct Reader {
    operator: Operator,
    shared_look: Arc<SharedLook>,
}

type Read<T> = Result<T, OperateError>;

impl Reader {
    pub(super) fn of(operator: Operator, shared_look: Arc<SharedLook>) -> Self {
        Self {
            operator,
            shared_look,
        }
    }

    pub(super) async fn now(&self) -> Read<DateTime<Utc>> {
        self.operator.now().await
    }

    pub(super) async fn list(
        &self,
        filter: &Filter,
        most: u16,
        after: Option<Cursor>,
        patience: Duration,
    ) -> Read<Page> {
        let listing = self.operator.list(filter).most(most).within(patience);
        match after {
            Some(after) => listing.after(after).await,
            None => listing.await,
        }
    }

    pub(super) async fn show(&self, task_id: i64) -> Read<Option<TaskDetails>> {
        self.operator.show(task_id).await
    }

    /// Returns so many of the newest lines that each attempt at a task has logged.
    pub(super) async fn logs(&self, task_id: i64, most: usize) -> Read<Vec<AttemptLog>> {
        self.operator.newest_logs(task_id, most).await
    }

    /// Tells what is known of a task that is nowhere.
    pub(super) async fn gone(&self, task_id: i64) -> Read<Gone> {
        self.operator.gone(task_id).await
    }

    pub(super) async fn causes(&self, filter: &Filter, most: u16) -> Read<Causes> {
        self.operator.causes(filter).most(most).await
    }

    pub(super) async fn doctor(&self) -> Read<Vec<Ailment>> {
        self.operator.doctor_shared(&self.shared_look).await
    }

    pub(super) async fn bulks(&self) -> Read<Vec<Bulk>> {
        self.operator.bulks().await
    }

    pub(super) async fn bulk(&self, bulk_id: i64) -> Read<Option<Bulk>> {
        self.operator.bulk(bulk_id).await
    }

    pub(super) async fn bulk_failures(&self, bulk_id: i64) -> Read<Vec<BulkFailure>> {
        self.operator.bulk_failures(bulk_id).await
    }

    pub(super) async fn follow_bulk(&self, bulk_id: i64) -> Read<Retried> {
        self.operator.follow_bulk(bulk_id).await
    }

    pub(super) async fn pauses(&self) -> Read<Vec<Pause>> {
        self.operator.pauses().await
    }

    pub(super) async fn limits(&self) -> Read<Vec<Limit>> {
        self.operator.limits().await
    }

    pub(super) async fn weights(&self) -> Read<Vec<KeyWeight>> {
        self.operator.weights().await
    }

    pub(super) async fn blocked(&self) -> Read<Vec<Blocked>> {
        self.operator.blocked().await
    }

    pub(super) async fn stats(&self) -> Read<Stats> {
        self.operator.stats().await
    }

    pub(super) async fn minute_totals(&self, since: Duration) -> Read<Vec<MinuteTotal>> {
        self.operator.minute_totals(since).await
    }

    pub(super) async fn workers(&self) -> Read<Vec<WorkerStatus>> {
        self.operator.workers().await
    }

    pub(super) async fn stuck(&self) -> Read<Vec<Stuck>> {
        self.operator.stuck().await
    }

    pub(super) async fn audit(&self, before: Option<i64>) -> Read<AuditPage> {
        let audit = self.operator.audit();
        match before {
            Some(before) => audit.before(before).await,
            None => audit.await,
        }
    }

    #[cfg(feature = "cron")]
    pub(super) async fn schedule(&self, name: &str) -> Read<Option<ScheduleRow>> {
        self.operator.schedule_row(name).await
    }

    #[cfg(feature = "cron")]
    pub(super) async fn schedules(&self) -> Read<Vec<ScheduleStatus>> {
        let mut connection = self.operator.connection().await?;
        let schema = self.operator.tables();
        crate::operate::schedules::schedules(&mut connection)
            .schema(schema)
            .list()
            .await
    }
}

//! Who did what, and why.

use std::future::IntoFuture;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Serialize;

#[cfg(any(feature = "cli", feature = "dashboard"))]
use super::number::number;
use super::pause::Operator;
use crate::error::OperateError;
use crate::store::AuditRow;

/// How many entries a page has, unless it is said.
const PAGE: u16 = 50;

impl Operator {
    /// Tells what operators did, the newest first, in pages of fifty. What was done to many tasks at once is one
    /// entry, which names the operation: [`bulk`](Self::bulk).
    ///
    /// ```no_run
    /// # async fn f(pool: sqlx::PgPool) -> Result<(), taskq::OperateError> {
    /// let operator = taskq::operate(&pool);
    /// let mut page = operator.audit().await?;
    /// loop {
    ///     for entry in &page.entries {
    ///         println!("{} {} {:?} by {}", entry.at, entry.verb, entry.task_id, entry.by);
    ///     }
    ///     match page.next {
    ///         Some(next) => page = operator.audit().before(next).await?,
    ///         None => break,
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    pub fn audit(&self) -> ReadAudit {
        ReadAudit {
            operator: self.clone(),
            before: None,
            most: PAGE,
        }
    }
}

/// A page of the audit that is about to be read: see [`Operator::audit`].
///
/// # Errors
///
/// See [`OperateError`].
///
/// # Cancel safety
///
/// The table is only read, so the future may be dropped at any time.
#[derive(Debug)]
#[must_use = "nothing is read until this is awaited"]
pub struct ReadAudit {
    operator: Operator,
    before: Option<i64>,
    most: u16,
}

impl ReadAudit {
    /// Has it go on where another page ended: [`AuditPage::next`].
    pub fn before(self, audit_id: i64) -> Self {
        Self {
            before: Some(audit_id),
            ..self
        }
    }

    /// Says how many entries there are on the page, from 1 to 1,000. Otherwise that is fifty.
    pub fn most(self, most: u16) -> Self {
        Self {
            most: most.clamp(1, 1_000),
            ..self
        }
    }
}

impl IntoFuture for ReadAudit {
    type Output = Result<AuditPage, OperateError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        async move {
            let most = usize::from(self.most);
            // One more tells whether there are more.
            let read = self
                .operator
                .store()
                .audit(self.before, i32::from(self.most) + 1)
                .await;
            let rows = read.map_err(|error| self.operator.error(error))?;
            let mut entries: Vec<_> = rows.into_iter().map(Audited::of).collect();
            let is_full = entries.len() > most;
            entries.truncate(most);
            let last = entries.last().filter(|_| is_full);
            Ok(AuditPage {
                next: last.map(|entry| entry.audit_id),
                entries,
            })
        }
        .boxed()
    }
}

/// A page of the audit.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct AuditPage {
    /// What was done, the newest first.
    pub entries: Vec<Audited>,
    /// Where the audit goes on; `None` where it ends here.
    pub next: Option<i64>,
}

/// What an operator did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Audited {
    /// Its id.
    pub audit_id: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub by: String,
    /// What: `cancel`, `retry`, `pause`, `reset limits`, `stop` of a worker, and so on.
    pub verb: String,
    /// To which task; absent where it was done to many.
    pub task_id: Option<i64>,
    /// Its type.
    pub task_type: Option<String>,
    /// Its queue.
    pub queue: Option<String>,
    /// In which state the task was. Of what is no task: what was said, or what became of it.
    pub state: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// The operation on all that matched, where it was done to many.
    pub bulk_id: Option<i64>,
    /// Which tasks that were, by their filter. Absent where the operation never began.
    pub filter: Option<String>,
    /// How many matched.
    pub tasks: Option<u64>,
    /// The worker that was asked to stop, or was forgotten.
    pub worker_id: Option<String>,
    /// What it was done to, where that is no task: `queue`, `task_type`, `key`, `schedule` or `session`.
    pub scope: Option<String>,
    /// Its name.
    pub name: Option<String>,
}

impl Audited {
    fn of(row: AuditRow) -> Self {
        Self {
            audit_id: row.audit_id,
            at: row.at,
            by: row.by,
            verb: row.verb,
            task_id: row.task_id,
            task_type: row.task_type,
            queue: row.queue,
            state: row.state,
            reason: row.reason,
            bulk_id: row.bulk_id,
            worker_id: row.worker_id.map(|id| id.to_string()),
            scope: row.scope,
            name: row.name,
            filter: row.bulk_filter,
            tasks: row.bulk_tasks.map(i64::unsigned_abs),
        }
    }

    /// Returns what was done, in words: those of the verb, unless they say too little.
    #[cfg(any(feature = "cli", feature = "dashboard"))]
    pub(crate) fn what(&self) -> &str {
        match (self.verb.as_str(), self.scope.as_deref()) {
            ("schedule", Some("schedule")) => "make or change",
            ("undo", Some("schedule")) => "undo the change",
            ("run", Some("schedule")) => "run by hand",
            ("backfill", Some("schedule")) => "enqueue past ticks",
            ("drop bulk", _) => "forget",
            ("stop bulk", _) => "stop",
            (verb, _) => verb,
        }
    }

    /// Returns to what it was done: `task 7`, `schedule nightly`, `all 1,667 tasks that matched type:mail (operation 2)`.
    #[cfg(any(feature = "cli", feature = "dashboard"))]
    pub(crate) fn to(&self) -> String {
        if let (Some(scope), Some(name)) = (&self.scope, &self.name) {
            let scope = scope.replace("task_type", "type");
            return match self.task_id {
                Some(task_id) => format!("{scope} {name}, task {task_id}"),
                None => format!("{scope} {name}"),
            };
        }
        match (self.task_id, self.bulk_id, &self.worker_id) {
            (Some(task_id), ..) => format!("task {task_id}"),
            // It never began.
            (_, Some(bulk_id), _) if self.verb == "drop bulk" => format!("operation {bulk_id}"),
            (_, Some(bulk_id), _) => {
                let tasks = match self.tasks {
                    Some(1) => " 1 task".to_owned(),
                    Some(tasks) => format!(" {} tasks", number(tasks)),
                    None => String::new(),
                };
                let filter = self.filter.as_ref();
                let matched = filter.map_or_else(String::new, |filter| match filter.is_empty() {
                    true => " of any kind".to_owned(),
                    false => format!(" that matched {filter}"),
                });
                format!("all{tasks}{matched} (operation {bulk_id})")
            }
            (_, _, Some(worker_id)) => format!("worker {worker_id}"),
            _ => String::new(),
        }
    }

    /// Returns what it was before, or what was said or became of it.
    #[cfg(any(feature = "cli", feature = "dashboard"))]
    pub(crate) fn before(&self) -> Option<String> {
        let state = self.state.as_deref()?;
        Some(match (self.verb.as_str(), &self.scope, self.bulk_id) {
            ("undo" | "remove", Some(_), _) => format!("was {state}"),
            // Of what has begun: it had been stopped before.
            (_, _, Some(_)) | ("enqueue", ..) | (_, Some(_), _) => state.to_owned(),
            _ => format!("was {state}"),
        })
    }
}

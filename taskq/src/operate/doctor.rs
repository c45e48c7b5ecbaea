//! What is wrong, in plain words.

mod way;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::migrate::KNOWN;
use super::pause::Operator;
use crate::error::OperateError;

/// For so long a transaction may be open.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

impl Operator {
    /// Says what is wrong, errors first: what an operator would look for at three in the morning.
    ///
    /// It looks for tables older than this program; task types and queues without a living worker; workers that
    /// vanished and leases that nobody rescues; attempts that are perhaps stuck; what died in the last day, by
    /// [cause](Operator::causes); what Postgres has refused; pauses, limits of nothing and limits that do not hold,
    /// sequences that wait at a dead task, schedules that are late; queues that get more than they get done, and how long
    /// they take. Then for transactions, replication slots and standbys that keep dead rows, vacuum that does not come,
    /// indexes that do not serve, claims that go by none; connections that run out; settings and an encoding that hurt; rights
    /// that a role lacks. At last for what this process alone sees: a pooler in transaction mode, and a clock that is
    /// wrong. It sees of other roles' sessions what its own role may see.
    ///
    /// It reads no more than some thousand rows of each kind, and of dead tasks 100,000.
    ///
    /// ```no_run
    /// # async fn f(pool: sqlx::PgPool) -> Result<(), taskq::OperateError> {
    /// for ailment in taskq::operate(&pool).doctor().await? {
    ///     // warning: queue mail has been paused for 3 hours by ada (SMTP is down): …
    ///     println!("{ailment}");
    ///     println!("{}", ailment.advice); // resume the queue once the reason is gone
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// See [`OperateError`].
    ///
    /// # Cancel safety
    ///
    /// The tables are only read, so the future may be dropped at any time.
    pub async fn doctor(&self) -> Result<Vec<Ailment>, OperateError> {
        self.doctor_with_patience(PATIENCE).await
    }

    /// Says what is wrong as [`doctor`](Self::doctor) does, and of transactions those that have been open for longer than
    /// this; otherwise that is five minutes.
    ///
    /// # Errors
    ///
    /// See [`OperateError`].
    ///
    /// # Cancel safety
    ///
    /// The tables are only read, so the future may be dropped at any time.
    pub async fn doctor_with_patience(
        &self,
        patience: Duration,
    ) -> Result<Vec<Ailment>, OperateError> {
        let mut store = self.store();
        let version = store.schema_version().await;
        let (version, _) = version.map_err(|error| self.error(error))?;
        let version = version.unwrap_or(0);
        if version < KNOWN {
            return Ok(vec![Ailment::of_old_tables(version)]);
        }
        let found = store.doctor(patience).await;
        let mut found: Vec<Ailment> = found.map_err(|error| self.error(error))?;
        found.extend(way::ailments(self.pool()).await);
        found.sort_by_key(|ailment| ailment.severity);
        Ok(found)
    }
}

#[cfg(feature = "top")]
impl Operator {
    /// Ends a session of the database, by the id of its process. Returns whether there was one.
    pub(crate) async fn end_session(&self, process_id: i32) -> Result<bool, OperateError> {
        let ended = self.store().end_session(process_id).await;
        ended.map_err(|error| self.error(error))
    }
}

/// Something that is wrong: see [`Operator::doctor`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Ailment {
    /// How bad it is.
    pub severity: Severity,
    /// Of which kind it is: `unserved`, `paused`, `dead`, … The guide lists them.
    pub problem: String,
    /// What it is about: a task type, a queue, a worker, a session.
    pub subject: String,
    /// What is wrong, in plain words.
    pub said: String,
    /// What to do, in words.
    pub advice: String,
    /// What mends it on the command line, where one command does: `resume queue mail`.
    pub command: Option<String>,
    /// What mends it in SQL, where one statement does: `select taskq.resume_queue('mail')`.
    pub statement: Option<String>,
}

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Severity {
    /// Tasks do not run or have died, or claims become slower and slower.
    Error,
    /// Somebody may have meant it so, or it becomes worse.
    Warning,
}

impl Ailment {
    /// Returns a warning that says nothing yet.
    fn warning(problem: &str, subject: &str) -> Self {
        Self {
            severity: Severity::Warning,
            problem: problem.to_owned(),
            subject: subject.to_owned(),
            said: String::new(),
            advice: String::new(),
            command: None,
            statement: None,
        }
    }

    fn of_old_tables(version: i32) -> Self {
        Self {
            severity: Severity::Error,
            said: format!(
                "the tables are of version {version}, and this program needs version {KNOWN}: its workers do not start"
            ),
            advice: "bring them up to date".to_owned(),
            command: Some("migrate".to_owned()),
            ..Self::warning("old tables", "migration")
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// What is wrong, without the advice.
impl fmt::Display for Ailment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.severity, self.said)
    }
}

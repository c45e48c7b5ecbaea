//! Showing one task: all that is stored of it, and what has become of it in order.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::pause::Operator;
use super::task::TaskState;
use crate::attempt::group::GROUP;
use crate::error::{AttemptReport, OperateError};
use crate::task::registration::linked_secrets;
use crate::task::secret::masked;

/// How often a task is looked at that moves meanwhile.
const MOST_LOOKS: u32 = 3;

impl Operator {
    /// Tells all that is stored of one task, wherever it is; `None` if it has completed and was not kept, or never was. In
    /// the place of secret values stands `***`.
    ///
    /// ```no_run
    /// # async fn f(pool: sqlx::PgPool) -> Result<(), taskq::OperateError> {
    /// if let Some(task) = taskq::operate(&pool).show(42).await? {
    ///     println!("{} is {}: {}", task.task_type, task.state, task.payload);
    ///     for event in task.timeline() {
    ///         println!("{} {}", event.at, event.text);
    ///     }
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
    pub async fn show(&self, task_id: i64) -> Result<Option<TaskDetails>, OperateError> {
        let mut looks = 1;
        loop {
            let shown = self.store().show::<TaskDetails>(task_id).await;
            let mut shown = shown.map_err(|error| self.error(error))?;
            if let Some(task) = &mut shown {
                // The database has left them out already, if it has heard of them.
                if let Some(masked) = masked(&linked_secrets(&task.task_type), &task.payload) {
                    task.payload = masked;
                }
                task.why = self.why(task_id).await?;
                // A worker may have claimed it or ended it between the two.
                let has_moved = !task.why.iter().all(|reason| reason.is_of(task.state));
                if has_moved && looks < MOST_LOOKS {
                    looks += 1;
                    continue;
                }
                if has_moved {
                    task.why.clear();
                }
            }
            return Ok(shown);
        }
    }

    /// Tells why a task does not run now, each reason by itself: it is not due, its queue or its type is paused, nobody
    /// serves it, a limit is used up and by which tasks, another task of its sequence or its key stands before it, or only
    /// how many stand before it. Of a task that does not wait it tells what becomes of it. Nothing: there is no such task.
    ///
    /// What one worker decides by itself is not in the tables: that it leaves alone what mostly does not decode. Its
    /// log says so.
    ///
    /// ```no_run
    /// # async fn f(pool: sqlx::PgPool) -> Result<(), taskq::OperateError> {
    /// for reason in taskq::operate(&pool).why(42).await? {
    ///     println!("{}", reason.said); // queue mail has been paused for 3 hours by ada (SMTP is down)
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
    pub async fn why(&self, task_id: i64) -> Result<Vec<Reason>, OperateError> {
        let reasons = self.store().why(task_id).await;
        reasons.map_err(|error| self.error(error))
    }
}

/// All that is stored of a task.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TaskDetails {
    /// Its id.
    pub task_id: i64,
    /// Its task type.
    pub task_type: String,
    /// Where it is.
    pub state: TaskState,
    /// Its queue.
    pub queue: String,
    /// Its priority. Smaller runs earlier.
    pub priority: i16,
    /// The version of its payload; zero where its enqueue did not say.
    pub payload_version: i16,
    /// Its payload, as the table has it but for the values of secret fields.
    pub payload: Box<RawValue>,
    /// What its enqueue said beside the payload.
    pub metadata: Box<RawValue>,
    /// How many attempts it has used.
    pub attempts: i32,
    /// How many it has, if its enqueue said so.
    pub max_attempts: Option<i32>,
    /// How many workers vanished while it ran.
    pub crashes: i32,
    /// When it was enqueued.
    pub created_at: DateTime<Utc>,
    /// When it is due, or was.
    pub run_at: Option<DateTime<Utc>>,
    /// When it was claimed by the worker that runs it or has completed it.
    pub claimed_at: Option<DateTime<Utc>>,
    /// When it finished.
    pub finished_at: Option<DateTime<Utc>>,
    /// The worker that runs it.
    pub worker_id: Option<String>,
    /// Where that worker is, if it is alive.
    pub worker: Option<RunsAt>,
    /// The errors of its attempts, the last fifty, the oldest first.
    pub errors: Vec<TaskError>,
    /// How far its last attempt was that said so.
    pub progress: Option<Progress>,
    /// How many lines its attempts have logged that are kept: see [`Operator::logs`].
    #[serde(default)]
    pub log_lines: i64,
    /// Of what it died.
    pub cause: Option<String>,
    /// What its handler returned, if it was kept.
    pub result: Option<Box<RawValue>>,
    /// What Postgres said when it refused to take it back.
    pub refusal: Option<Box<RawValue>>,
    /// The keys that it holds as a [unique](crate::unique) task, of the first 100,000 keys of its type.
    pub unique_keys: Vec<HeldKey>,
    /// The key by which its type is limited, while it waits.
    pub limit_key: Option<String>,
    /// What operators did to it, the last hundred times. What they did to many at once is in `taskq.bulk`.
    pub audit: Vec<AuditEntry>,
    /// Why it does not run now: see [`Operator::why`].
    #[serde(default)]
    pub why: Vec<Reason>,
}

impl TaskDetails {
    /// Returns the id of the group of which it is a member, if it is of one.
    pub fn group_id(&self) -> Option<i64> {
        let metadata: Value = serde_json::from_str(self.metadata.get()).ok()?;
        metadata.get(GROUP)?.as_i64()
    }
}

/// Why a task does not run now, or what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Reason {
    /// `not due`, `paused`, `unserved`, `limit`, `sequence`, `turn`, `expired` or `next`; `running`, `perhaps stuck` or
    /// `abandoned`; or its state.
    pub reason: String,
    /// The reason in plain words.
    pub said: String,
    /// What to do, if there is anything to do.
    pub advice: Option<String>,
    /// What changes it on the command line, where one command does.
    pub command: Option<String>,
    /// What changes it in SQL, where one statement does.
    pub statement: Option<String>,
    /// Until when that is so, where it is known.
    pub until: Option<DateTime<Utc>>,
}

/// Where a worker is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunsAt {
    /// The name of its host.
    pub host: String,
    /// Its process there.
    pub process_id: i32,
    /// When it was last heard of.
    pub seen_at: DateTime<Utc>,
}

/// A key of which one task at a time may be there.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HeldKey {
    /// The key: a text, fields of the payload, or a hash of either.
    pub key: Box<RawValue>,
    /// Until when the task has it: `done`, `started`, `again` or `within`.
    pub until: String,
    /// When that ends, if it is a time.
    pub ends_at: Option<DateTime<Utc>>,
}

/// The error of one attempt.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TaskError {
    /// Which attempt, from 1.
    pub attempt: i32,
    /// When it was recorded.
    pub at: DateTime<Utc>,
    /// Its text.
    pub error: String,
    /// What else is known of the attempt.
    #[serde(flatten)]
    pub report: AttemptReport,
}

/// How far an attempt says that it is: see [`Attempt::progress`](crate::Attempt::progress).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Progress {
    /// Which attempt, from 1.
    pub attempt: i32,
    /// How much of it is done, from 0 to 1; nothing where nobody knows.
    pub fraction: Option<f64>,
    /// What it said.
    pub said: String,
    /// When it said so, by the clock of the database.
    pub said_at: DateTime<Utc>,
}

impl fmt::Display for Progress {
    /// Writes the fraction in percent, and what was said.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fraction {
            Some(fraction) if self.said.is_empty() => write!(f, "{:.0} %", fraction * 100.0),
            Some(fraction) => write!(f, "{:.0} %, {}", fraction * 100.0, self.said),
            None => f.write_str(&self.said),
        }
    }
}

/// What an operator did to a task.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AuditEntry {
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub by: String,
    /// `cancel`, `retry`, `discard`, `edit` or `enqueue`. An edit is followed by the retry that it makes.
    pub verb: String,
    /// In which state the task was; of an `enqueue`, what became of it: `created`, `existing` or `replaced`.
    pub state: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// Something that has become of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TaskEvent {
    /// When.
    pub at: DateTime<Utc>,
    /// What, in words.
    pub text: String,
}

impl Reason {
    /// Tells whether it can be a reason of a task in this state.
    fn is_of(&self, state: TaskState) -> bool {
        match self.reason.as_str() {
            "running" | "perhaps stuck" | "abandoned" => state == TaskState::Running,
            "not due" | "paused" | "unserved" | "limit" | "sequence" | "turn" | "next" => {
                state == TaskState::Waiting
            }
            // It may wait still, or have been set aside.
            "expired" => matches!(state, TaskState::Waiting | TaskState::Expired),
            reason => reason == state.name(),
        }
    }
}

impl TaskDetails {
    /// Returns what has become of the task, in order, from what is stored. An attempt that was handed back, as when its
    /// worker stopped, has left nothing behind, so it is not there.
    pub fn timeline(&self) -> Vec<TaskEvent> {
        let event = |at: DateTime<Utc>, text: String| TaskEvent { at, text };
        let mut events = vec![event(self.created_at, "enqueued".to_owned())];
        events.extend(self.errors.iter().map(|failed| {
            let TaskError {
                attempt, at, error, ..
            } = failed;
            event(*at, format!("attempt {attempt}: {error}"))
        }));
        events.extend(self.audit.iter().map(|said| {
            let state = said.state.as_deref().unwrap_or("there");
            let reason = said
                .reason
                .as_deref()
                .map_or_else(String::new, |reason| format!(": {reason}"));
            let what = match said.verb.as_str() {
                // Nothing was there before.
                "run" | "backfill" => {
                    format!("enqueued by {}, who had its schedule run{reason}", said.by)
                }
                // Its state is what the enqueue did.
                "enqueue" => format!("enqueued by {}: {state}{reason}", said.by),
                verb => format!("{verb} by {}, when it was {state}{reason}", said.by),
            };
            event(said.at, what)
        }));
        events.extend(self.claimed_at.map(|at| event(at, "claimed".to_owned())));
        if self.state == TaskState::Waiting {
            events.extend(self.run_at.map(|at| event(at, "due".to_owned())));
        }
        events.extend(self.finished_at.map(|at| event(at, self.state.to_string())));
        events.sort_by_key(|event| event.at);
        events
    }
}

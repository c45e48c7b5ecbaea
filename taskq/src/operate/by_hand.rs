//! Payloads that an operator writes: for a dead task, which runs again with it, and for a new task.

use std::fmt;
use std::future::IntoFuture;

use chrono::{DateTime, SecondsFormat, Utc};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

#[cfg(feature = "encryption")]
use super::encrypt;
use super::pause::Operator;
use super::show::TaskDetails;
use super::task::TaskState;
use crate::error::{MASK, OperateError};
#[cfg(any(feature = "cli", feature = "dashboard"))]
use crate::task::by_name::enqueue_options;
#[cfg(any(feature = "cli", feature = "dashboard"))]
use crate::task::options::TaskOptions;
use crate::task::registration::linked_secrets;
use crate::task::secret::still_masked;
use crate::task::unique::EnqueueOutcome;

impl Operator {
    /// Gives a dead task another payload, and has it run again as [`retry`](Self::retry) does. The old payload is gone.
    ///
    /// Postgres checks that the payload is JSON and not too large, and not whether it fits the task type. `edit` on the
    /// command line of a worker's binary decodes it first.
    ///
    /// A task that waits or runs cannot be edited: cancel it first.
    ///
    /// A secret field for which the new payload says `"***"`, as [`show`](Self::show) does, keeps the value that is stored.
    ///
    /// ```no_run
    /// use taskq::json::RawValue;
    ///
    /// # async fn f(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
    /// let payload = RawValue::from_string(r#"{"usr_id": 42, "locale": "de"}"#.to_owned())?;
    /// taskq::operate(&pool).as_user("ada").edit(7, payload).because("it had no locale").await?;
    /// # Ok(()) }
    /// ```
    pub fn edit(&self, task_id: i64, payload: Box<RawValue>) -> Editing {
        Editing {
            operator: self.clone(),
            task_id,
            payload,
            version: None,
            at: None,
            reason: None,
        }
    }

    /// Returns what an edit would write, which may have secret values. Fails where it would write the mask in place of one:
    /// the tables do not know yet what this program knows to be secret.
    pub(crate) async fn edited_payload(
        &self,
        task_id: i64,
        payload: &RawValue,
    ) -> Result<Box<RawValue>, OperateError> {
        let mut store = self.store();
        let edited = store.edited_payload(task_id, payload).await;
        let edited = edited.map_err(|error| self.error(error))?;
        let edited = edited.unwrap_or_else(|| payload.to_owned());
        let shown = store.show::<TaskDetails>(task_id).await;
        let shown = shown.map_err(|error| self.error(error))?;
        let secrets = shown.map_or_else(Vec::new, |task| linked_secrets(&task.task_type));
        match still_masked(&secrets, &edited) {
            None => Ok(edited),
            Some(field) => Err(OperateError::Refused {
                message: format!(
                    "the tables have not heard yet that `{field}` is secret, so *** would be stored in its place: start a worker of this program, or say the value"
                ),
            }),
        }
    }

    /// Enqueues a task by the name of its type, which this program need not know. It is recorded in `taskq.audit`.
    ///
    /// It takes nothing of what the type declares: say the queue, and what else differs from the defaults of a bare
    /// insert. `enqueue` on the command line of a worker's binary decodes the payload first, and takes what the type
    /// declares.
    ///
    /// ```no_run
    /// use taskq::json::RawValue;
    ///
    /// # async fn f(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
    /// let payload = RawValue::from_string(r#"{"usr_id": 42}"#.to_owned())?;
    /// let (task_id, _) = taskq::operate(&pool).enqueue("send_card", payload).queue("mail").await?;
    /// println!("task {task_id} waits");
    /// # Ok(()) }
    /// ```
    pub fn enqueue(&self, task_type: &str, payload: Box<RawValue>) -> ByHand {
        ByHand {
            operator: self.clone(),
            task_type: task_type.to_owned(),
            payload,
            options: Map::new(),
            reason: None,
        }
    }
}

/// A dead task that is about to be edited: see [`Operator::edit`]. Awaited, it returns in which state the task was.
///
/// # Errors
///
/// [`OperateError::Refused`] if there is no such task, or it is not dead; otherwise see [`OperateError`]. Then nothing has
/// changed.
///
/// # Cancel safety
///
/// One statement changes something: when the future is dropped, it has happened or will not happen.
#[must_use = "nothing happens until this is awaited"]
pub struct Editing {
    operator: Operator,
    task_id: i64,
    payload: Box<RawValue>,
    version: Option<u16>,
    at: Option<DateTime<Utc>>,
    reason: Option<String>,
}

impl Editing {
    /// Says which version the new payload has. Otherwise it is that of the old one.
    pub fn version(self, version: u16) -> Self {
        Self {
            version: Some(version),
            ..self
        }
    }

    /// Says when the task is due. Otherwise that is now.
    pub fn at(self, at: DateTime<Utc>) -> Self {
        Self {
            at: Some(at),
            ..self
        }
    }

    /// Says why. The audit shows it.
    pub fn because(self, reason: impl Into<String>) -> Self {
        Self {
            reason: Some(reason.into()),
            ..self
        }
    }
}

// Without the payload, which may have secret fields.
impl fmt::Debug for Editing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Editing")
            .field("task_id", &self.task_id)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ByHand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByHand")
            .field("task_type", &self.task_type)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl IntoFuture for Editing {
    type Output = Result<TaskState, OperateError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        async move {
            let (payload, reason) = (&*self.payload, self.reason.as_deref());
            let version = self
                .version
                .map(|version| i16::try_from(version).unwrap_or(i16::MAX));
            let by = self.operator.user.as_deref();
            if payload.get().contains(MASK) {
                self.operator.edited_payload(self.task_id, payload).await?;
            }
            #[cfg(feature = "encryption")]
            let encrypted = self.operator.encrypted(self.task_id, payload).await?;
            #[cfg(feature = "encryption")]
            let payload = encrypted.as_deref().unwrap_or(payload);
            let mut store = self.operator.store();
            let edited = store
                .edit(self.task_id, payload, version, self.at, reason, by)
                .await;
            match edited {
                Ok(state) => Ok(TaskState::of(&state)),
                Err(error) => Err(self.operator.error(error)),
            }
        }
        .boxed()
    }
}

/// A task that an operator is about to enqueue: see [`Operator::enqueue`]. Awaited, it returns the id of the task and
/// what was done. Where a unique task has the key already, the id is that task's.
///
/// # Errors
///
/// [`OperateError::Refused`] if an option makes no sense; otherwise see [`OperateError`].
///
/// # Cancel safety
///
/// It is one statement: when the future is dropped, it has happened or will not happen.
#[must_use = "nothing is enqueued until this is awaited"]
pub struct ByHand {
    operator: Operator,
    task_type: String,
    payload: Box<RawValue>,
    options: Map<String, Value>,
    reason: Option<String>,
}

impl ByHand {
    /// Says in which queue it waits. Otherwise that is `default`.
    pub fn queue(self, queue: &str) -> Self {
        self.with("queue", queue.into())
    }

    /// Says its priority. Smaller runs earlier, and otherwise it is zero.
    pub fn priority(self, priority: i16) -> Self {
        self.with("priority", priority.into())
    }

    /// Says when it is due. Otherwise that is now.
    pub fn at(self, at: DateTime<Utc>) -> Self {
        let at = at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        self.with("run_at", at.into())
    }

    /// Says why. The audit shows it.
    pub fn because(self, reason: impl Into<String>) -> Self {
        Self {
            reason: Some(reason.into()),
            ..self
        }
    }

    /// Takes what a task type declares.
    #[cfg(any(feature = "cli", feature = "dashboard"))]
    pub(crate) fn declared(mut self, declared: &TaskOptions) -> Self {
        self.options.append(&mut enqueue_options(declared));
        self
    }

    /// Has it start so many seconds from now.
    #[cfg(feature = "cli")]
    pub(crate) fn delay(self, seconds: u64) -> Self {
        self.with("delay", seconds.into())
    }

    fn with(mut self, name: &str, value: Value) -> Self {
        self.options.insert(name.to_owned(), value);
        self
    }
}

impl IntoFuture for ByHand {
    type Output = Result<(i64, EnqueueOutcome), OperateError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        async move {
            let options = Value::Object(self.options);
            let (reason, by) = (self.reason.as_deref(), self.operator.user.as_deref());
            let payload = &*self.payload;
            #[cfg(feature = "encryption")]
            let encrypted = encrypt::typed(&self.task_type, payload)?;
            #[cfg(feature = "encryption")]
            let payload = encrypted.as_deref().unwrap_or(payload);
            let mut store = self.operator.store();
            let made = store
                .enqueue_by_hand(&self.task_type, payload, &options, reason, by)
                .await;
            let (task_id, outcome) = made.map_err(|error| self.operator.error(error))?;
            let outcome = match outcome.as_str() {
                "created" => EnqueueOutcome::Created,
                "replaced" => EnqueueOutcome::Replaced,
                _ => EnqueueOutcome::Existing,
            };
            Ok((task_id, outcome))
        }
        .boxed()
    }
}

//! `assert_enqueued!`: is the task there that a test expects, and if not, what is there instead?

use std::fmt::Write as _;

use serde_json::value::RawValue;
use sqlx::PgConnection;

use crate::error::DecodeError;
use crate::store::{Schema, Store, TaskOfType, version_of};
use crate::task::payload::{self, Payload};
use crate::task::secret::masked;

/// How many tasks of the type are looked at.
const MOST: i64 = 1_000;

/// How many of those that were not meant are shown, of each kind.
const SHOWN: usize = 5;

/// Asserts that a task waits: in its type's queue, with these values in its payload.
///
/// The values are expressions, compared by `==`; with `..` other fields may have any. What counts is what
/// the connection sees, so a test asks in its own transaction, before the commit too. Another queue is
/// named behind the payload: `queue = "bulk"`.
///
/// ```
/// # #[taskq::task(queue = "mail")] async fn send_email_welcome(usr_id: i64, locale: Option<String>) {}
/// # async fn test(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
/// # let usr_id = 42;
/// let mut tx = pool.begin().await?;
/// SendEmailWelcome::enqueue(&mut tx, 42, None).await?;
/// taskq::assert_enqueued!(&mut tx, SendEmailWelcome { usr_id: 42, .. });
/// taskq::assert_enqueued!(&mut tx, SendEmailWelcome { usr_id, locale: None });
/// # Ok(()) }
/// ```
///
/// # Panics
///
/// When there is no such task. The message says where one was found instead: with other values, in
/// another queue, running, or finished.
#[macro_export]
macro_rules! assert_enqueued {
    (@value $field:ident) => { $field };
    (@value $field:ident $value:expr) => { $value };
    (@queue) => { ::core::option::Option::None };
    (@queue $queue:expr) => { ::core::option::Option::Some($queue) };
    (
        $conn:expr,
        $($payload:ident)::+ { $($field:ident $(: $value:expr)?,)* .. }
        $(, queue = $queue:expr)? $(,)?
    ) => {
        $crate::testing::__tasks::<$($payload)::+>().found($conn).await.assert(
            |payload| {
                let _ = payload;
                $(payload.$field == $crate::assert_enqueued!(@value $field $($value)?) &&)* true
            },
            ::core::stringify!($($payload)::+ { $($field $(: $value)?,)* .. }),
            $crate::assert_enqueued!(@queue $($queue)?),
        )
    };
    (
        $conn:expr,
        $($payload:ident)::+ { $($field:ident $(: $value:expr)?),* $(,)? }
        $(, queue = $queue:expr)? $(,)?
    ) => {{
        // Without `..` a field that is left out is a mistake, which this reports.
        let expected = $($payload)::+ { $($field $(: $value)?),* };
        $crate::testing::__tasks::<$($payload)::+>().found($conn).await.assert(
            |payload| {
                let _ = (payload, &expected);
                $(payload.$field == expected.$field &&)* true
            },
            ::core::stringify!($($payload)::+ { $($field $(: $value)?),* }),
            $crate::assert_enqueued!(@queue $($queue)?),
        )
    }};
}

/// How tasks of one type are read. Not public API.
// What a payload must be is asked for here and nowhere else: so that one is none is said once.
#[doc(hidden)]
#[derive(Debug)]
pub struct Tasks<P> {
    task_type: &'static str,
    queue: &'static str,
    secret: &'static [&'static str],
    read: fn(&RawValue, Option<u16>) -> Result<P, DecodeError>,
}

/// The tasks of one type. Not public API.
#[doc(hidden)]
#[derive(Debug)]
pub struct FoundTasks<P> {
    tasks: Tasks<P>,
    found: Vec<TaskOfType>,
}

/// Says how tasks of one type are read. Not public API.
#[doc(hidden)]
pub fn __tasks<P: Payload>() -> Tasks<P> {
    Tasks {
        task_type: P::TASK_TYPE,
        queue: P::OPTIONS.queue,
        secret: P::OPTIONS.secret,
        read: payload::read,
    }
}

impl<P> Tasks<P> {
    /// Finds them.
    ///
    /// # Panics
    ///
    /// When the tables cannot be read.
    ///
    /// # Cancel safety
    ///
    /// The tables are only read, so the future may be dropped at any time.
    pub async fn found(self, conn: &mut PgConnection) -> FoundTasks<P> {
        let found = Store::on(conn, Schema::default())
            .tasks_of_type(self.task_type, MOST)
            .await;
        FoundTasks {
            found: found.expect("the view `taskq.tasks` can be read"),
            tasks: self,
        }
    }
}

impl<P> FoundTasks<P> {
    /// Makes sure that one waits that is meant.
    ///
    /// # Panics
    ///
    /// When none does.
    #[track_caller]
    pub fn assert(self, is_meant: impl Fn(&P) -> bool, meant: &str, queue: Option<&str>) {
        let Tasks {
            task_type, read, ..
        } = self.tasks;
        let queue = queue.unwrap_or(self.tasks.queue);
        let mut others: Vec<(String, &TaskOfType)> = Vec::new();
        for task in &self.found {
            let values = match read(&task.payload, version_of(task.payload_version)) {
                Ok(payload) if is_meant(&payload) => "as expected",
                Ok(_) => "another payload",
                Err(_) => "a payload that does not decode",
            };
            match (task.state.as_str(), task.queue == queue, values) {
                ("waiting", true, "as expected") => return,
                (state, true, values) => others.push((format!("{state}, {values}"), task)),
                (state, false, values) => {
                    others.push((format!("{state} in queue `{}`, {values}", task.queue), task));
                }
            }
        }
        panic!(
            "no task `{task_type}` waits in queue `{queue}` with {}{}",
            one_line(meant),
            elsewhere(others, self.tasks.secret)
        );
    }
}

/// Says what was found instead, each kind together.
fn elsewhere(mut others: Vec<(String, &TaskOfType)>, secret: &[&str]) -> String {
    if others.is_empty() {
        return "\n  this connection sees no task of this type, neither waiting nor \
                running nor finished"
            .into();
    }
    others.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut text = String::new();
    for kind in others.chunk_by(|(one, _), (other, _)| one == other) {
        for (what, task) in kind.iter().take(SHOWN) {
            let masked = masked(secret, &task.payload);
            let payload = masked.as_ref().unwrap_or(&task.payload);
            let (task_id, payload) = (task.task_id, RawValue::get(payload));
            // Writing to a string cannot fail.
            let _ = write!(text, "\n  {what}: task {task_id}, {payload}");
        }
        if let [(what, _), ..] = kind
            && kind.len() > SHOWN
        {
            let _ = write!(text, "\n  {what}: {} more", kind.len() - SHOWN);
        }
    }
    text
}

/// Writes a payload as people do: the compiler puts blanks around each token, and breaks lines.
fn one_line(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ").replace(" :", ":")
}

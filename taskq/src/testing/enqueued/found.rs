//! The tasks of a type, and whether the one is among them that a test expects.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use sqlx::PgConnection;

use super::compared::{Conditions, Differences};
use super::instead::{self, NearTask};
#[cfg(feature = "encryption")]
use crate::cipher;
use crate::error::{DecodeError, error_text};
use crate::store::{Elsewhere, Store, TaskOfType, version_of};
use crate::task::payload::{self, Payload};

/// How many tasks of the type are looked at.
const MOST: i64 = 1_000;

/// How tasks of one type are read. Not public API.
// What a payload must be is asked for here and nowhere else: so that one is none is said once.
#[doc(hidden)]
#[derive(Debug)]
pub struct Tasks<P> {
    task_type: &'static str,
    queue: &'static str,
    secret: &'static [&'static str],
    read: fn(&RawValue, Option<u16>) -> Result<P, DecodeError>,
    conditions: Conditions,
}

/// The tasks of one type. Not public API.
#[doc(hidden)]
#[derive(Debug)]
pub struct FoundTasks<P> {
    tasks: Tasks<P>,
    found: Vec<TaskOfType>,
    /// What there is where none of the type is.
    elsewhere: Elsewhere,
}

/// A task that waits, as [`all_enqueued!`](crate::all_enqueued) returns it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EnqueuedTask<P> {
    /// The task.
    pub task_id: i64,
    /// Its payload.
    pub payload: P,
    /// Its queue.
    pub queue: String,
    /// Its priority.
    pub priority: i16,
    /// When it is due.
    pub run_at: DateTime<Utc>,
    /// When it was enqueued.
    pub created_at: DateTime<Utc>,
}

/// Says how tasks of one type are read. Not public API.
#[doc(hidden)]
pub fn __tasks<P: Payload>(conditions: Conditions) -> Tasks<P> {
    Tasks {
        task_type: P::TASK_TYPE,
        queue: P::OPTIONS.queue,
        secret: P::OPTIONS.secret,
        read: read::<P>,
        conditions,
    }
}

/// Reads a payload as a worker does, with the keys of this process.
fn read<P: Payload>(raw: &RawValue, version: Option<u16>) -> Result<P, DecodeError> {
    #[cfg(feature = "encryption")]
    if let Some(opened) = cipher::decrypt(cipher::installed().as_deref(), P::TASK_TYPE, raw)? {
        return payload::read(&opened, version);
    }
    payload::read(raw, version)
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
        let schema = self.conditions.schema;
        let mut store = Store::on(conn, schema);
        let found = store.tasks_of_type(self.task_type, MOST).await;
        let found = found.unwrap_or_else(|error| unreadable(schema.name(), &error));
        let mut elsewhere = Elsewhere::default();
        if found.is_empty() {
            let looked = store.elsewhere(self.task_type).await;
            elsewhere = looked.unwrap_or_else(|error| unreadable(schema.name(), &error));
        }
        FoundTasks {
            found,
            elsewhere,
            tasks: self,
        }
    }
}

fn unreadable(schema: &str, error: &sqlx::Error) -> ! {
    panic!(
        "the view `{schema}.tasks` cannot be read, so nobody can tell what is enqueued: {}",
        error_text(error)
    )
}

/// How a task compares with the one that is meant.
enum Compared<P> {
    /// It waits, and is meant.
    Meant(P),
    Near(NearTask),
}

impl<P> FoundTasks<P> {
    /// Makes sure that one waits that is meant.
    ///
    /// # Panics
    ///
    /// When none does.
    #[track_caller]
    pub fn assert(self, compare: impl Fn(&P) -> Differences, meant: &str) {
        let mut near = Vec::new();
        for task in &self.found {
            match self.compare(task, &compare) {
                Compared::Meant(_) => return,
                Compared::Near(task) => near.push(task),
            }
        }
        let text = match near.is_empty() {
            true => instead::none_of_type(self.tasks.task_type, &self.elsewhere),
            false => instead::nearest(near),
        };
        panic!("{}{text}", self.headline("no task", meant));
    }

    /// Makes sure that none waits that is meant.
    ///
    /// # Panics
    ///
    /// When one does.
    #[track_caller]
    pub fn refute(self, compare: impl Fn(&P) -> Differences, meant: &str) {
        let waiting = self.meant(&compare, meant);
        if waiting.is_empty() {
            return;
        }
        let tasks = waiting.iter().map(|(task, _)| *task);
        let shown = instead::listed(tasks, self.tasks.secret);
        panic!("{}:{shown}", self.headline(&counted(waiting.len()), meant));
    }

    /// Returns all that wait and are meant.
    ///
    /// # Panics
    ///
    /// When one cannot be read.
    #[track_caller]
    pub fn all(self, compare: impl Fn(&P) -> Differences, meant: &str) -> Vec<EnqueuedTask<P>> {
        let meant = self.meant(&compare, meant).into_iter();
        let mut tasks: Vec<_> = meant
            .map(|(task, payload)| EnqueuedTask {
                task_id: task.task_id,
                payload,
                queue: task.queue.clone(),
                priority: task.priority,
                run_at: task.run_at.unwrap_or(task.created_at),
                created_at: task.created_at,
            })
            .collect();
        tasks.sort_by_key(|task| task.task_id);
        tasks
    }

    #[track_caller]
    fn meant(&self, compare: impl Fn(&P) -> Differences, meant: &str) -> Vec<(&TaskOfType, P)> {
        let mut waiting = Vec::new();
        for task in &self.found {
            match self.compare(task, &compare) {
                Compared::Meant(payload) => waiting.push((task, payload)),
                Compared::Near(near) if near.may_be_meant() => {
                    panic!(
                        "{}{near}",
                        self.headline("nobody can tell whether a task", meant)
                    )
                }
                Compared::Near(_) => {}
            }
        }
        waiting
    }

    fn compare(&self, task: &TaskOfType, compare: impl Fn(&P) -> Differences) -> Compared<P> {
        let Tasks {
            queue,
            secret,
            read,
            conditions,
            ..
        } = &self.tasks;
        let mut differences = conditions.differences(task, queue);
        let payload = match read(&task.payload, version_of(task.payload_version)) {
            Ok(payload) => payload,
            Err(error) => {
                let why = secret.is_empty().then(|| error_text(&error));
                return Compared::Near(NearTask::undecoded(task, secret, differences, why));
            }
        };
        let mut of_fields = compare(&payload);
        let json: serde_json::Value = serde_json::from_str(task.payload.get()).unwrap_or_default();
        of_fields.mask(secret, |field| json.get(field).is_some());
        differences.0.splice(0..0, of_fields.0);
        match task.state == "waiting" && differences.0.is_empty() {
            true => Compared::Meant(payload),
            false => Compared::Near(NearTask::decoded(task, secret, differences)),
        }
    }

    /// Says what was asked: "no task `send_card` waits in queue `mail` with …".
    fn headline(&self, found: &str, meant: &str) -> String {
        let Tasks {
            task_type,
            queue,
            conditions,
            ..
        } = &self.tasks;
        let queue = conditions.queue.as_deref().unwrap_or(queue);
        let further = conditions.text();
        let meant = instead::one_line(meant);
        format!("{found} `{task_type}` waits in queue `{queue}` with {meant}{further}")
    }
}

fn counted(tasks: usize) -> String {
    match tasks {
        1 => "a task".into(),
        _ => format!("each of {tasks} tasks"),
    }
}

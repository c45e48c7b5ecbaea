//! Of what dead tasks have died.

use std::future::IntoFuture;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Serialize;

use super::filter::Filter;
use super::pause::Operator;
use super::task::TaskState;
use crate::error::OperateError;
use crate::store::{CauseRow, FoundCause};

/// How many causes are told, unless it is said.
const MOST: u16 = 50;

/// At how many dead tasks a search looks, unless it is said.
const LOOKS: u32 = 100_000;

impl Operator {
    /// Tells of what dead tasks that match a filter have died, the most frequent cause first.
    ///
    /// Those that were cancelled are left out, as [`stats`](Self::stats) leaves them out, unless the filter says a state:
    /// `state:cancelled` has them alone, `state:dead` all.
    ///
    /// Tasks have a cause in common if they are of one type and in one state, and the texts of their last errors differ
    /// in numbers, ids and times alone. The file and line of a panic count. Five thousand dead tasks of three causes
    /// are three lines, and each can be retried or discarded as one: `cause:` is a term of a [`Filter`].
    ///
    /// It is quick, however many there are. By causes, types, states and times it counts in an index, some hundred of each
    /// cause at least: [`Cause::and_more`] says that there are more. With another term in the filter it reads the newest 10,000
    /// dead tasks: [`Causes::stopped`] says that there are others.
    ///
    /// ```no_run
    /// # async fn f(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
    /// let operator = taskq::operate(&pool);
    /// for cause in operator.causes(&"type:send_*".parse()?).await?.causes {
    ///     let error = cause.error.unwrap_or_default();
    ///     println!("{} {} of {}: {error}", cause.cause, cause.total, cause.task_type);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn causes(&self, filter: &Filter) -> FindCauses {
        FindCauses {
            operator: self.clone(),
            filter: filter.clone(),
            most: MOST,
            looks: LOOKS,
        }
    }
}

/// Causes that are about to be read: see [`Operator::causes`].
///
/// # Errors
///
/// [`OperateError::Refused`] if the filter lets no dead tasks through; otherwise see [`OperateError`].
///
/// # Cancel safety
///
/// The tables are only read, so the future may be dropped at any time.
#[derive(Debug)]
#[must_use = "nothing is read until this is awaited"]
pub struct FindCauses {
    operator: Operator,
    filter: Filter,
    most: u16,
    looks: u32,
}

impl FindCauses {
    /// Says how many causes are told, from 1 to 1,000. Otherwise that is fifty.
    pub fn most(self, most: u16) -> Self {
        Self {
            most: most.clamp(1, 1_000),
            ..self
        }
    }

    /// Says at how many tasks it looks. Otherwise that is 100,000.
    pub fn looks(self, looks: u32) -> Self {
        Self { looks, ..self }
    }
}

impl IntoFuture for FindCauses {
    type Output = Result<Causes, OperateError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        async move {
            let looks = i32::try_from(self.looks.max(1)).unwrap_or(i32::MAX);
            let filter = self.filter.to_json();
            let mut store = self.operator.store();
            let rows = store.causes(&filter, i32::from(self.most), looks).await;
            let rows = rows.map_err(|error| self.operator.error(error))?;
            let mut told = Causes::default();
            for row in rows {
                match row {
                    CauseRow::Cause(found) => told.causes.push(Cause::of(found)),
                    CauseRow::Stopped(read) => {
                        told.stopped = true;
                        told.read = read.map(i64::unsigned_abs);
                    }
                }
            }
            Ok(told)
        }
        .boxed()
    }
}

/// Of what dead tasks have died.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct Causes {
    /// The causes, the most frequent first.
    pub causes: Vec<Cause>,
    /// Whether it stopped before the end: it has read as many tasks as it may, or there are more than 1,000 causes, and these
    /// are of those of which the newest tasks have died.
    pub stopped: bool,
    /// If it stopped because it has read as many tasks as it may, how many: the numbers are of those alone.
    pub read: Option<u64>,
}

/// Of what some dead tasks have died.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Cause {
    /// Its id, for the term `cause:` of a filter.
    pub cause: String,
    /// The task type.
    pub task_type: String,
    /// The state in which they are.
    pub state: TaskState,
    /// How many they are, as far as they were counted.
    pub total: u64,
    /// Whether there may be more, because no more were counted.
    pub and_more: bool,
    /// When the first of them died.
    pub first_at: DateTime<Utc>,
    /// When the last of them died.
    pub last_at: DateTime<Utc>,
    /// The last of them.
    pub last_task_id: i64,
    /// Its last error.
    pub error: Option<String>,
}

impl Cause {
    fn of(found: FoundCause) -> Self {
        Self {
            cause: found.cause,
            task_type: found.task_type,
            state: TaskState::of(&found.state),
            total: found.total.unsigned_abs(),
            and_more: found.counted_to.is_some_and(|most| found.total >= most),
            first_at: found.first_at,
            last_at: found.last_at,
            last_task_id: found.last_task_id,
            error: found.error,
        }
    }
}

//! Listing the tasks that match a filter.

use std::fmt;
use std::future::IntoFuture;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::{Serialize, Serializer};

use super::filter::Filter;
use super::pause::Operator;
use super::task::TaskState;
use crate::error::OperateError;
use crate::store::{FoundPlace, FoundRow};

/// How many tasks a page has, unless it is said.
const PAGE: u16 = 50;

/// At how many tasks of each place a search looks, unless it is said.
const LOOKS: u32 = 100_000;

impl Operator {
    /// Lists the tasks that match a filter: those that run, wait, are dead, were refused, and have completed and are
    /// kept, in this order; of each the newest first.
    ///
    /// The list comes in pages of fifty. However large the tables are, a search looks at most at the newest 100,000
    /// tasks of each of these places, and then says that it stopped: [`Page::stopped`]. With [`Page::next`] it goes on.
    ///
    /// ```no_run
    /// # async fn f(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
    /// let operator = taskq::operate(&pool);
    /// let filter = "state:dead type:send_* older:1h".parse()?;
    /// let mut page = operator.list(&filter).await?;
    /// loop {
    ///     for task in &page.tasks {
    ///         println!("{} {}: {}", task.task_id, task.task_type, task.error.as_deref().unwrap_or_default());
    ///     }
    ///     match page.next {
    ///         Some(next) => page = operator.list(&filter).after(next).await?,
    ///         None => break,
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    pub fn list(&self, filter: &Filter) -> Listing {
        Listing {
            operator: self.clone(),
            filter: filter.clone(),
            most: PAGE,
            looks: LOOKS,
            patience: None,
            after: None,
        }
    }
}

/// A page of a list that is about to be read: see [`Operator::list`].
///
/// # Errors
///
/// [`OperateError::Refused`] if [`after`](Self::after) is of a list with another filter; otherwise see [`OperateError`].
///
/// # Cancel safety
///
/// The tables are only read, so the future may be dropped at any time.
#[derive(Debug)]
#[must_use = "nothing is read until this is awaited"]
pub struct Listing {
    operator: Operator,
    filter: Filter,
    most: u16,
    looks: u32,
    patience: Option<Duration>,
    after: Option<Cursor>,
}

impl Listing {
    /// Says how many tasks there are on the page, from 1 to 1,000. Otherwise that is fifty.
    pub fn most(self, most: u16) -> Self {
        Self {
            most: most.clamp(1, 1_000),
            ..self
        }
    }

    /// Says at how many tasks of each place the search looks before it stops. Otherwise that is 100,000.
    pub fn looks(self, looks: u32) -> Self {
        Self { looks, ..self }
    }

    /// Says for how long the search looks before it stops, about: it looks at the time now and then. Otherwise it takes as long
    /// as it takes to look at as many tasks as it may.
    pub fn within(self, patience: Duration) -> Self {
        Self {
            patience: Some(patience),
            ..self
        }
    }

    /// Has it go on where another page ended.
    pub fn after(self, cursor: Cursor) -> Self {
        Self {
            after: Some(cursor),
            ..self
        }
    }
}

impl IntoFuture for Listing {
    type Output = Result<Page, OperateError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        async move {
            let after = self.after.as_ref().map(|cursor| &cursor.0);
            let looks = i32::try_from(self.looks.max(1)).unwrap_or(i32::MAX);
            let filter = self.filter.to_json();
            // One more tells whether there are more.
            let most = i32::from(self.most) + 1;
            let rows = self
                .operator
                .store()
                .list(&filter, most, after, looks, self.patience)
                .await;
            match rows {
                Ok(rows) => Ok(Page::of(rows, usize::from(self.most))),
                Err(error) => Err(self.operator.error(error)),
            }
        }
        .boxed()
    }
}

/// A page of a list.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Page {
    /// The tasks.
    pub tasks: Vec<FoundTask>,
    /// Where the list goes on; `None` where it ends here.
    pub next: Option<Cursor>,
    /// Whether the search stopped because it had looked at as many tasks of a place as it may, or for as long. Others may match.
    pub stopped: bool,
    /// If it stopped, at how many tasks it had looked, of those that run, wait, are dead, were refused or have completed: it
    /// had seen all of the former of these.
    pub looked: Option<u64>,
}

/// A task of a list.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct FoundTask {
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
    /// When it was enqueued, if it waits; claimed, if it runs; or else refused or finished.
    pub at: DateTime<Utc>,
    /// When it is due, or was.
    pub run_at: Option<DateTime<Utc>>,
    /// How many attempts it has used.
    pub attempts: i32,
    /// How many it has, if its enqueue said so.
    pub max_attempts: Option<i32>,
    /// How many workers vanished while it ran.
    pub crashes: i32,
    /// Its last error.
    pub error: Option<String>,
    /// Of what it died.
    pub cause: Option<String>,
    /// The worker that runs it.
    pub worker_id: Option<String>,
}

impl Page {
    fn of(mut rows: Vec<FoundRow>, most: usize) -> Self {
        let stop = rows.pop_if(|row| row.task_id.is_none());
        let is_full = rows.len() > most;
        rows.truncate(most);
        let last = rows.last().filter(|_| is_full);
        let next = last.or(stop.as_ref()).map(|row| Cursor(row.place.clone()));
        let stop = stop.filter(|_| !is_full);
        Self {
            stopped: stop.is_some(),
            looked: stop.and_then(|row| row.looked).map(i64::unsigned_abs),
            next,
            tasks: rows.into_iter().map(FoundTask::of).collect(),
        }
    }
}

impl FoundTask {
    fn of(row: FoundRow) -> Self {
        Self {
            task_id: row.task_id.unwrap_or_default(),
            task_type: row.task_type,
            state: TaskState::of(&row.state),
            queue: row.queue,
            priority: row.priority,
            at: row.at.unwrap_or(row.place.at),
            run_at: row.run_at,
            attempts: row.attempts,
            max_attempts: row.max_attempts,
            crashes: row.crashes,
            error: row.error,
            cause: row.cause,
            worker_id: row.worker_id.map(|id| id.to_string()),
        }
    }
}

/// Where in a list a page ended: a short text, which is read again by `parse`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(FoundPlace);

#[cfg(feature = "dashboard")]
impl Cursor {
    /// Says of which tasks the list is here.
    pub(crate) fn place(&self) -> &'static str {
        match &*self.0.place {
            "running" => "that run",
            "waiting" => "that wait",
            "dead" => "that are dead",
            "refused" => "that were refused",
            _ => "that have completed",
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FoundPlace { place, at, id } = &self.0;
        let at = at.to_rfc3339_opts(SecondsFormat::Micros, true);
        write!(f, "{place}.{id}.{at}")
    }
}

impl FromStr for Cursor {
    type Err = OperateError;

    fn from_str(text: &str) -> Result<Self, OperateError> {
        let mut parts = text.splitn(3, '.');
        let mut part = || parts.next().unwrap_or_default();
        let (place, id, at) = (part(), part(), part());
        match (id.parse(), DateTime::parse_from_rfc3339(at)) {
            (Ok(id), Ok(at)) => Ok(Self(FoundPlace {
                place: place.to_owned(),
                at: at.to_utc(),
                id,
            })),
            _ => Err(OperateError::Refused {
                message: format!(
                    "`{text}` is not where a list goes on: take what a page gives as `next`"
                ),
            }),
        }
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

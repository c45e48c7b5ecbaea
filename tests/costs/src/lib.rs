//! The programs that are counted. Each does one thing as often as it is told, in a process of its own.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context, Error, Result};
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection, PgConnection};
use taskq::{Worker, WorkerBuilder, task};
use tokio::sync::Notify;
use tokio::time::sleep;

/// As many as wait where the server is counted, so that one claim takes them all.
const CONCURRENCY: usize = 1_000;

/// Where each handler has a session: so few that what is claimed ahead keeps them busy, however slow this is. One that has
/// nothing to do gives its session back.
const SESSIONS: usize = 4;

/// What a worker has besides those of its handlers.
const OWN_CONNECTIONS: u32 = 6;

/// How many tasks one call enqueues where it enqueues many.
pub const MANY: u64 = 1_000;

/// Every so many tasks one is slow, where some are.
pub const ONE_IS_SLOW_OF: u64 = 10;

/// How long a slow one takes: much longer than completions wait for the rest of their lease.
const SLOW: Duration = Duration::from_millis(500);

/// How long a lease is where a worker mostly waits, so that what it does by the clock does not count.
const LONG_LEASE: Duration = Duration::from_secs(60 * 60);

/// What a process does so many times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// Runs waiting tasks whose handlers do nothing.
    Drain,
    /// Runs waiting tasks whose handlers insert a row in the transaction that completes them.
    Transactional,
    /// The same, with a session for each of them, so that one claim takes them all.
    AtOnce,
    /// Runs waiting tasks some of which take longer than the others.
    SomeSlow,
    /// Runs waiting tasks that fail.
    Failing,
    /// Enqueues one task after the other.
    Enqueue,
    /// Enqueues tasks by the thousand.
    EnqueueMany,
    /// Runs tasks that somebody else enqueues whenever the worker is idle.
    Wake,
}

impl Program {
    const ALL: [(&'static str, Self); 8] = [
        ("drain", Self::Drain),
        ("transactional", Self::Transactional),
        ("at_once", Self::AtOnce),
        ("some_slow", Self::SomeSlow),
        ("failing", Self::Failing),
        ("enqueue", Self::Enqueue),
        ("enqueue_many", Self::EnqueueMany),
        ("wake", Self::Wake),
    ];

    /// Returns the word for it on a command line.
    pub fn word(self) -> &'static str {
        let mut all = Self::ALL.iter();
        all.find(|(_, program)| *program == self)
            .map_or("", |(word, _)| word)
    }

    /// Returns the type of the tasks that must wait for it.
    pub fn task_type(self) -> Option<&'static str> {
        match self {
            Self::Drain => Some("do_nothing"),
            Self::Transactional | Self::AtOnce => Some("insert_a_row"),
            Self::SomeSlow => Some("be_slow"),
            Self::Failing => Some("fail"),
            Self::Enqueue | Self::EnqueueMany | Self::Wake => None,
        }
    }

    /// Does it, so many times, on one thread: so each run does the same.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached, or a worker not built.
    pub fn run(self, url: &str, times: u64) -> Result<()> {
        // Here, so that whoever changes what counts does not compile a worker again.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(self.run_there(url, times))
    }

    async fn run_there(self, url: &str, times: u64) -> Result<()> {
        match self {
            Self::Drain => work(url, times, 0, |it| it.only::<(DoNothing,)>()).await,
            Self::Wake => {
                let only = |it: WorkerBuilder| it.only::<(DoNothing,)>().lease(LONG_LEASE);
                work(url, times, 0, only).await
            }
            Self::Transactional | Self::AtOnce => {
                let only = |it: WorkerBuilder| it.only::<(InsertARow,)>();
                let sessions = match self {
                    Self::AtOnce => times.try_into()?,
                    _ => SESSIONS,
                };
                work(url, times, sessions, only).await
            }
            Self::SomeSlow => work(url, times, 0, |it| it.only::<(BeSlow,)>()).await,
            Self::Failing => work(url, times, 0, |it| it.only::<(Fail,)>()).await,
            Self::Enqueue => enqueue(url, times).await,
            Self::EnqueueMany => enqueue_many(url, times).await,
        }
    }
}

impl FromStr for Program {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        let mut all = Self::ALL.iter();
        let found = all.find(|(its, _)| *its == word);
        found
            .map(|(_, program)| *program)
            .with_context(|| format!("no program `{word}`"))
    }
}

/// How many handlers have run.
struct Meter {
    ran: AtomicU64,
    wanted: u64,
    all_ran: Notify,
}

impl Meter {
    fn record(&self) {
        if self.ran.fetch_add(1, Relaxed) + 1 == self.wanted {
            self.all_ran.notify_one();
        }
    }
}

#[task]
async fn do_nothing(meter: &Meter, n: u64) {
    let _ = n;
    meter.record();
}

#[task]
async fn insert_a_row(tx: &mut PgConnection, meter: &Meter, n: i64) -> sqlx::Result<()> {
    sqlx::query("insert into effect (n) values ($1)")
        .bind(n)
        .execute(tx)
        .await?;
    meter.record();
    Ok(())
}

#[task]
async fn be_slow(meter: &Meter, n: u64) {
    if n.is_multiple_of(ONE_IS_SLOW_OF) {
        sleep(SLOW).await;
    }
    meter.record();
}

#[task]
async fn fail(meter: &Meter, n: u64) -> Result<(), String> {
    meter.record();
    Err(format!("{n} is refused"))
}

/// Runs a worker until so many handlers have ended. They share its connections, but for so many sessions of their own.
async fn work(
    url: &str,
    tasks: u64,
    sessions: usize,
    only: impl FnOnce(WorkerBuilder) -> WorkerBuilder,
) -> Result<()> {
    let meter = Arc::new(Meter {
        ran: AtomicU64::new(0),
        wanted: tasks,
        all_ran: Notify::new(),
    });
    let pool = PgPoolOptions::new()
        .max_connections(u32::try_from(sessions)? + OWN_CONNECTIONS)
        .connect(url)
        .await?;
    let concurrency = if sessions > 0 { sessions } else { CONCURRENCY };
    let builder = Worker::builder(pool)
        .state_arc(meter.clone())
        .queue("default", concurrency);
    let worker = only(builder).build().await?;
    Ok(worker.run_until(meter.all_ran.notified()).await?)
}

async fn enqueue(url: &str, times: u64) -> Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    for n in 0..times {
        DoNothing::enqueue(&mut connection, n).await?;
    }
    Ok(connection.close().await?)
}

async fn enqueue_many(url: &str, times: u64) -> Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    for first in (0..times).step_by(MANY.try_into()?) {
        let tasks = (first..first + MANY).map(|n| DoNothing { n });
        taskq::enqueue_many(&mut connection, tasks).await?;
    }
    Ok(connection.close().await?)
}

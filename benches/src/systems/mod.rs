//! What is measured: a file for each system, which speaks to the bench in the same few verbs.

mod apalis;
mod awa;
mod bare;
pub mod batch;
pub mod flow;
mod graphile;
mod node;
mod river;
mod sqlxmq;
pub mod taskq;
mod underway;

pub use self::awa::ENVIRONMENT;
pub use self::flow::Flow;
pub use self::taskq::Taskq;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;

use crate::meter::Meter;
use crate::modes::Mode;
use crate::server::Database;

/// What the handler of each task does, beside telling the meter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handler {
    Nothing,
    /// It waits a millisecond without blocking its thread.
    Waits,
    /// It inserts a row into the table `effect`, in the transaction that completes the task where
    /// the system has that.
    Inserts,
}

/// Rows that are in the tables without being due work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ballast {
    /// Of a type that no worker knows, enqueued before everything else.
    Unknown,
    /// Due in a month.
    Future,
    Finished,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Taskq,
    Peer,
    /// Plain statements that do the same work: what Postgres can do here.
    Bare,
}

/// Settings for each handler: those with which a system runs it best.
#[derive(Debug, Clone, Copy)]
pub struct Each<S> {
    pub nothing: S,
    pub waits: S,
    pub inserts: S,
}

impl<S: Copy> Each<S> {
    pub const fn same(settings: S) -> Self {
        Self {
            nothing: settings,
            waits: settings,
            inserts: settings,
        }
    }

    pub fn of(&self, handler: Handler) -> S {
        match handler {
            Handler::Nothing => self.nothing,
            Handler::Waits => self.waits,
            Handler::Inserts => self.inserts,
        }
    }
}

/// A task queue, with its settings.
#[async_trait]
pub trait System: Send + Sync {
    fn name(&self) -> &'static str;

    fn family(&self) -> Family;

    /// Says how it is set up, for the reader of the table.
    fn settings(&self) -> String;

    /// Says why it does not take part in a mode, if it does not.
    fn absent_from(&self, mode: &Mode) -> Option<&'static str>;

    /// Makes its tables.
    async fn set_up(&self, db: &Database) -> Result<()>;

    /// Returns a statement that adds waiting tasks of these numbers, in the fastest way there is.
    fn preload(&self, handler: Handler, numbers: Range<u64>) -> String;

    /// Returns a statement that adds rows which are no due work; `None` if it has no such rows.
    fn ballast(&self, ballast: Ballast, rows: u64) -> Option<String>;

    /// Opens a connection that enqueues tasks whose handler does nothing.
    async fn client(&self, db: &Database) -> Result<Box<dyn Client>>;

    /// Makes workers of one process, which do not work yet.
    async fn worker(
        &self,
        url: &str,
        handler: Handler,
        meter: Arc<Meter>,
    ) -> Result<Box<dyn Worker>>;

    /// Makes the workers that are busy beside a measurement of inserts: its own, unless it has none
    /// that go on.
    async fn worker_beside(&self, url: &str, meter: Arc<Meter>) -> Result<Box<dyn Worker>> {
        self.worker(url, Handler::Nothing, meter).await
    }

    /// Says whether the completion of a task whose handler ran is not committed yet. Asked when
    /// there is nothing left to claim.
    async fn is_completing(&self, db: &Database) -> Result<bool>;

    /// Counts the tasks that are not completed.
    async fn left(&self, db: &Database) -> Result<u64>;
}

/// One connection of a program that enqueues.
#[async_trait]
pub trait Client: Send {
    /// Enqueues a task, committed when this returns, in the fewest round trips.
    async fn enqueue(&mut self, number: u64) -> Result<()>;

    /// Enqueues a task as the only one of a transaction, in the way that users of the system do.
    async fn enqueue_in_transaction(&mut self, number: u64) -> Result<()> {
        self.enqueue(number).await
    }

    /// Enqueues many tasks and commits, in the system's own way.
    async fn enqueue_many(&mut self, numbers: Range<u64>) -> Result<()>;
}

/// The workers of one process.
#[async_trait]
pub trait Worker: Send {
    /// Begins to work.
    async fn run(&mut self) -> Result<()>;

    /// Stops working, gracefully, and closes all connections.
    async fn stop(&mut self) -> Result<()>;
}

/// Returns all systems, in the order of the tables.
pub fn all() -> Vec<Arc<dyn System>> {
    vec![
        Arc::new(taskq::Taskq::DEFAULTS),
        Arc::new(taskq::Taskq::TUNED),
        Arc::new(taskq::Taskq::KEEP),
        Arc::new(bare::Bare::GIVEN),
        Arc::new(bare::Bare::TAKING),
        Arc::new(river::River::BATCHED),
        Arc::new(river::River::IN_TRANSACTION),
        Arc::new(awa::Awa::BEST),
        Arc::new(graphile::Graphile::BEST),
        Arc::new(apalis::Apalis::BEST),
        Arc::new(sqlxmq::Sqlxmq),
        Arc::new(underway::Underway),
        Arc::new(node::Node::graphile()),
        Arc::new(node::Node::boss()),
    ]
}

/// A system at one point of the grid of its settings.
pub struct Point {
    pub settings: String,
    pub system: Arc<dyn System>,
}

/// Returns what a sweep of this system measures: the settings of a normal run first.
pub fn grid(name: &str, handler: Handler) -> Option<Vec<Point>> {
    match name {
        "taskq" => Some(taskq::Taskq::grid(handler)),
        "riverqueue" => Some(river::River::BATCHED.grid(handler)),
        "riverqueue, tx" => Some(river::River::IN_TRANSACTION.grid(handler)),
        "awa" => Some(awa::Awa::grid(handler)),
        "graphile_worker" => Some(graphile::Graphile::grid(handler)),
        "apalis-postgres" => Some(apalis::Apalis::grid(handler)),
        _ => None,
    }
}

/// Returns each point of a grid once, in its order.
fn points<S: Copy + PartialEq + fmt::Display, T: System + 'static>(
    grid: Vec<S>,
    system: impl Fn(S) -> T,
) -> Vec<Point> {
    let mut once: Vec<S> = Vec::new();
    for settings in grid {
        if !once.contains(&settings) {
            once.push(settings);
        }
    }
    let point = |settings: S| Point {
        settings: settings.to_string(),
        system: Arc::new(system(settings)),
    };
    once.into_iter().map(point).collect()
}

/// Keeps a system out of the measurements of growth.
fn too_slow_to_grow(mode: &Mode) -> Option<&'static str> {
    matches!(mode, Mode::Growth(_))
        .then_some("it runs a few thousand tasks a second at best, which says nothing of growth")
}

//! What is measured of each system: a file for each kind of measurement.

mod drain;
mod insert;

use std::fmt;
use std::time::Duration;

use anyhow::Result;

use crate::sample::Sample;
use crate::server::{Database, Server};
use crate::systems::{Handler, System};

/// The groups of `--only`, in the order in which they are measured.
pub const GROUPS: [&str; 3] = ["drain", "insert", "bulk"];

/// One kind of measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Tasks that wait already are run.
    Drain(Handler),
    /// Clients enqueue one task per commit.
    Insert {
        clients: usize,
        beside_workers: bool,
    },
    /// One client enqueues a thousand tasks per commit.
    Bulk,
    Latency(()),
}

/// How much is measured, and how often.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// How often each measurement is taken; the systems take turns.
    pub rounds: usize,
    /// Tasks that wait before a drain.
    pub backlog: u64,
    /// Tasks of handlers that wait or insert, which are slower.
    pub slow_backlog: u64,
    /// After this time a drain is over, and what was done by then counts.
    pub drain_limit: Duration,
    /// How long clients enqueue.
    pub inserting: Duration,
    /// Tasks that are enqueued in bulk.
    pub bulk: u64,
}

impl Effort {
    pub const FULL: Self = Self {
        rounds: 3,
        backlog: 100_000,
        slow_backlog: 50_000,
        drain_limit: Duration::from_secs(15),
        inserting: Duration::from_secs(5),
        bulk: 100_000,
    };
    pub const QUICK: Self = Self {
        rounds: 1,
        backlog: 100_000,
        slow_backlog: 20_000,
        drain_limit: Duration::from_secs(5),
        inserting: Duration::from_secs(2),
        bulk: 50_000,
    };
}

impl Mode {
    /// Returns everything that is measured, in order.
    pub fn all() -> Vec<Self> {
        let mut modes = vec![
            Self::Drain(Handler::Nothing),
            Self::Drain(Handler::Waits),
            Self::Drain(Handler::Inserts),
        ];
        for beside_workers in [false, true] {
            for clients in [1, 8, 32] {
                modes.push(Self::Insert {
                    clients,
                    beside_workers,
                });
            }
        }
        modes.push(Self::Bulk);
        modes
    }

    /// Returns what `--only` calls it.
    pub fn group(&self) -> &'static str {
        match self {
            Self::Drain(_) => "drain",
            Self::Insert { .. } => "insert",
            Self::Bulk => "bulk",
            Self::Latency(_) => "latency",
        }
    }

    /// Says in a sentence what is done, for the head of a table.
    pub fn explanation(&self, effort: &Effort) -> String {
        let (seconds, limit) = (effort.inserting.as_secs(), effort.drain_limit.as_secs());
        match self {
            Self::Drain(Handler::Nothing) => format!(
                "{} waiting tasks whose handlers do nothing; at most {limit} s",
                effort.backlog
            ),
            Self::Drain(Handler::Waits) => format!(
                "{} waiting tasks whose handlers wait 1 ms; at most {limit} s",
                effort.slow_backlog
            ),
            Self::Drain(Handler::Inserts) => format!(
                "{} waiting tasks whose handlers insert a row, in the completing transaction \
                 where the system has that; at most {limit} s",
                effort.slow_backlog
            ),
            Self::Insert {
                clients,
                beside_workers,
            } => format!(
                "{clients} clients enqueue one task per commit for {seconds} s, {}",
                if *beside_workers {
                    "while workers run them"
                } else {
                    "nobody works"
                }
            ),
            Self::Bulk => format!(
                "one client enqueues {} tasks, {} per commit",
                effort.bulk,
                insert::PER_COMMIT
            ),
            Self::Latency(()) => String::new(),
        }
    }

    /// Returns how good a measurement is: more is better.
    pub fn goodness(&self, sample: &Sample) -> Option<f64> {
        match self {
            Self::Drain(_) | Self::Insert { .. } | Self::Bulk => sample.per_second,
            Self::Latency(()) => sample.p50_ms.map(|ms| 1.0 / ms),
        }
    }

    /// Takes one measurement.
    pub async fn measure(&self, bench: &Bench<'_>) -> Result<Sample> {
        match self {
            Self::Drain(handler) => drain::measure(bench, *handler).await,
            Self::Insert {
                clients,
                beside_workers,
            } => insert::measure(bench, *clients, *beside_workers).await,
            Self::Bulk => insert::measure_bulk(bench).await,
            Self::Latency(()) => unreachable!(),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drain(Handler::Nothing) => f.write_str("drain"),
            Self::Drain(Handler::Waits) => f.write_str("drain, handler waits 1 ms"),
            Self::Drain(Handler::Inserts) => f.write_str("drain, handler inserts a row"),
            Self::Insert {
                clients,
                beside_workers,
            } => {
                write!(f, "insert, {clients} clients")?;
                match beside_workers {
                    true => f.write_str(", workers run"),
                    false => Ok(()),
                }
            }
            Self::Bulk => f.write_str("bulk insert"),
            Self::Latency(()) => Ok(()),
        }
    }
}

/// Who is measured, where, and how much.
pub struct Bench<'a> {
    pub server: &'a Server,
    pub system: &'a dyn System,
    pub effort: Effort,
}

impl Bench<'_> {
    /// Makes a database of the measurement's own, with the tables of its system.
    async fn database(&self) -> Result<Database> {
        let db = self.server.database().await?;
        self.system.set_up(&db).await?;
        // Before the rows come, so that their pages are not written in full a second time.
        self.server.checkpoint().await?;
        Ok(db)
    }
}

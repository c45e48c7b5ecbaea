//! Drains, inserts and idle workers that are some time away from Postgres.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;
use sqlx::{Connection, PgConnection};

use super::{Bench, Effort, Mode, Pace, drain, insert, latency};
use crate::sample::{Sample, Spread};
use crate::systems::Handler;

/// How often a round trip is measured.
const ROUND_TRIPS: usize = 50;

/// How far away Postgres is, and what is done there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// Added to what a round trip takes by itself; half of it in either direction.
    pub round_trip: Duration,
    pub what: Remote,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remote {
    Drain(Handler),
    /// One client enqueues one task per commit, and nobody works.
    Insert,
    /// One task is enqueued after a pause.
    Idle,
}

impl Network {
    /// How far away the server is in the table.
    pub const ROUND_TRIPS: [Duration; 4] = [
        Duration::ZERO,
        Duration::from_micros(500),
        Duration::from_millis(2),
        Duration::from_millis(10),
    ];

    pub const WHATS: [Remote; 4] = [
        Remote::Drain(Handler::Nothing),
        Remote::Drain(Handler::Inserts),
        Remote::Insert,
        Remote::Idle,
    ];

    pub fn all() -> impl Iterator<Item = Self> {
        let with = |what| Self::ROUND_TRIPS.map(|round_trip| Self { round_trip, what });
        Self::WHATS.into_iter().flat_map(with)
    }

    /// Says in a sentence what is done.
    pub fn explanation(self, effort: &Effort) -> String {
        let what = match self.what {
            Remote::Drain(handler) => format!(
                "{} waiting tasks whose handlers {}, from the first handler on; at most {} s",
                tasks(effort, handler),
                match handler {
                    Handler::Inserts => "insert a row, in the completing transaction",
                    Handler::Nothing | Handler::Waits => "do nothing",
                },
                effort.drain_limit.as_secs()
            ),
            Remote::Insert => Mode::Insert {
                clients: 1,
                beside_workers: false,
            }
            .explanation(effort),
            Remote::Idle => Mode::Latency(Pace::Idle).explanation(effort),
        };
        format!("{what}; {} is added to each round trip", self.added())
    }

    fn added(self) -> String {
        format!("{} ms", self.round_trip.as_secs_f64() * 1e3)
    }

    /// Returns the same where no time is added.
    pub fn at_hand(self) -> Self {
        Self {
            round_trip: Duration::ZERO,
            ..self
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "network, {}, ", self.added())?;
        match self.what {
            Remote::Drain(handler) => write!(f, "{}", Mode::Drain(handler)),
            Remote::Insert => f.write_str("insert"),
            Remote::Idle => write!(f, "{}", Mode::Latency(Pace::Idle)),
        }
    }
}

pub async fn measure(bench: &Bench<'_>, network: Network) -> Result<Sample> {
    let relay = bench.server.relay(network.round_trip)?;
    let bench = Bench {
        relay: Some(&relay),
        ..*bench
    };
    let round_trip_ms = round_trip_ms(&relay.url("postgres")).await?;
    let sample = match network.what {
        Remote::Drain(handler) => {
            let tasks = tasks(&bench.effort, handler);
            drain::measure_of(&bench, handler, tasks, drain::From::FirstHandler).await?
        }
        Remote::Insert => insert::measure(&bench, 1, false).await?,
        Remote::Idle => latency::measure(&bench, Pace::Idle).await?,
    };
    Ok(Sample {
        round_trip_ms: Some(round_trip_ms),
        ..sample
    })
}

/// Returns how many tasks a drain has: so many that what is measured is not how a worker starts.
fn tasks(effort: &Effort, handler: Handler) -> u64 {
    match handler {
        Handler::Nothing => effort.many,
        Handler::Waits | Handler::Inserts => effort.slow_backlog,
    }
}

/// Returns what a round trip takes, of which the added time is a part.
async fn round_trip_ms(url: &str) -> Result<f64> {
    let mut connection = PgConnection::connect(url).await?;
    let mut took = Vec::new();
    for _ in 0..ROUND_TRIPS {
        let began = Instant::now();
        connection.ping().await?;
        took.push(began.elapsed().as_secs_f64() * 1e3);
    }
    connection.close().await?;
    Ok(Spread::of(took).map_or(f64::NAN, |spread| spread.median))
}

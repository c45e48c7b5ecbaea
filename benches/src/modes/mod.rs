//! What is measured of each system: a file for each kind of measurement.

mod batch;
mod drain;
mod flow;
mod growth;
mod insert;
mod latency;
mod network;
mod stream;

use std::fmt;
use std::time::Duration;

use anyhow::Result;

pub use self::batch::Many;
pub use self::drain::{From, drain as drain_of, prepare, until_completed};
pub use self::flow::{Limit, Order};
pub use self::growth::Situation;
use self::growth::{Count, FED, UNKNOWN};
pub use self::latency::Pace;
pub use self::network::{Network, Remote};
use crate::relay::Relay;
use crate::sample::Sample;
use crate::server::{Database, Server};
use crate::systems::{Family, Handler, System};
use crate::why::Watch;

/// The groups of `--only`, in the order in which they are measured.
pub const GROUPS: [&str; 11] = [
    "drain", "insert", "bulk", "latency", "growth", "network", "limits", "order", "batch", PAGES,
    PRUNE,
];

/// The group that measures no systems: the pages of the dashboard.
pub const PAGES: &str = "pages";

/// Another: drains while a large history is pruned.
pub const PRUNE: &str = "prune";

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
    /// One task after another is enqueued, and its handler begins.
    Latency(Pace),
    /// A drain where something stands in its way.
    Growth(Situation),
    /// Something is done some time away from Postgres.
    Network(Network),
    /// A drain whose tasks have limits, or that is beside such.
    Limits(Limit),
    /// A drain among tasks that fail, or at random.
    Order(Order),
    /// A drain whose handler is given many payloads.
    Batch(Many),
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
    /// Tasks that are enqueued one by one when idle.
    pub idle_tasks: u64,
    /// How long tasks come at a pace.
    pub paced: Duration,
    /// How long a feeder keeps tasks waiting.
    pub feeding: Duration,
    /// How long a stream lasts.
    pub streaming: Duration,
    /// What is called many: rows that wait, are due later or are finished.
    pub many: u64,
    /// Whether growth is measured of taskq, bare SQL and one peer only.
    pub few_grow: bool,
    /// Whether to say where the time went.
    pub why: bool,
}

impl Effort {
    pub const FULL: Self = Self {
        rounds: 3,
        backlog: 100_000,
        slow_backlog: 50_000,
        drain_limit: Duration::from_secs(15),
        inserting: Duration::from_secs(5),
        bulk: 100_000,
        idle_tasks: 60,
        paced: Duration::from_secs(10),
        feeding: Duration::from_secs(30),
        streaming: Duration::from_secs(60),
        many: 1_000_000,
        few_grow: false,
        why: false,
    };
    pub const QUICK: Self = Self {
        rounds: 1,
        backlog: 100_000,
        slow_backlog: 20_000,
        drain_limit: Duration::from_secs(3),
        inserting: Duration::from_secs(1),
        bulk: 50_000,
        idle_tasks: 12,
        paced: Duration::from_secs(2),
        feeding: Duration::from_secs(4),
        streaming: Duration::from_secs(20),
        many: 200_000,
        few_grow: true,
        why: false,
    };
}

impl Effort {
    /// Says why a system is not measured, although it could be.
    pub fn leaves_out(&self, mode: &Mode, system: &dyn System) -> Option<&'static str> {
        if *mode == Mode::Growth(Situation::Stream) && system.name() != "taskq" {
            return Some("the pages of taskq's own statements are counted");
        }
        let compares_itself = matches!(
            mode,
            Mode::Network(_) | Mode::Limits(_) | Mode::Order(_) | Mode::Batch(_)
        );
        if compares_itself && system.name() != "taskq" {
            return Some("taskq is compared with itself");
        }
        let grows = system.family() != Family::Peer || system.name() == "graphile_worker";
        (self.few_grow && matches!(mode, Mode::Growth(_)) && !grows)
            .then_some("left out by --quick")
    }
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
        modes.extend([Pace::Idle, Pace::FiveHundred, Pace::HalfOfDrain].map(Self::Latency));
        modes.extend(Situation::ALL.map(Self::Growth));
        modes.extend(Network::all().map(Self::Network));
        modes.extend(Limit::ALL.map(Self::Limits));
        modes.extend(Order::ALL.map(Self::Order));
        modes.extend(Many::ALL.map(Self::Batch));
        modes
    }

    /// Returns what `--only` calls it.
    pub fn group(&self) -> &'static str {
        match self {
            Self::Drain(_) => "drain",
            Self::Insert { .. } => "insert",
            Self::Bulk => "bulk",
            Self::Latency(_) => "latency",
            Self::Growth(_) => "growth",
            Self::Network(_) => "network",
            Self::Limits(_) => "limits",
            Self::Order(_) => "order",
            Self::Batch(_) => "batch",
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
            Self::Latency(Pace::Idle) => format!(
                "{} tasks, each after a pause; from the call of enqueue to the begin of the handler",
                effort.idle_tasks
            ),
            Self::Latency(Pace::FiveHundred) => format!(
                "one task every 2 ms for {} s, by the clock",
                effort.paced.as_secs()
            ),
            Self::Latency(Pace::HalfOfDrain) => format!(
                "batches every 10 ms for {} s, at half of the rate of the drain",
                effort.paced.as_secs()
            ),
            Self::Growth(Situation::Fed) => format!(
                "a feeder beside the worker keeps {FED} tasks waiting, for {} s",
                effort.feeding.as_secs()
            ),
            Self::Growth(Situation::Stream) => format!(
                "{} tasks a second in batches of {} for {} s, one worker of 64, beside a transaction \
                 that is open since before they came",
                stream::RATE,
                stream::BATCH,
                effort.streaming.as_secs()
            ),
            Self::Growth(situation) => {
                let what = match situation {
                    Situation::Waiting(Count::TenThousand) => "10,000 tasks, five times".to_owned(),
                    Situation::Waiting(Count::Many) => format!("{} tasks", effort.many),
                    Situation::BehindUnknown => format!(
                        "{} tasks behind {UNKNOWN} that no worker knows",
                        effort.backlog
                    ),
                    Situation::FutureAndFinished => format!(
                        "{} tasks among {} that are due later and as many that are finished",
                        effort.backlog, effort.many
                    ),
                    Situation::HeldTransaction => format!(
                        "{} tasks beside a transaction that is open since before they came",
                        effort.backlog
                    ),
                    Situation::Processes(count) => {
                        let tasks = effort.many;
                        return format!(
                            "a drain of {tasks} tasks by worker processes: {count}; at most {limit} s"
                        );
                    }
                    _ => format!("{} tasks", effort.backlog),
                };
                format!("a drain of {what}, from the first handler on; at most {limit} s")
            }
            Self::Network(network) => network.explanation(effort),
            Self::Limits(Limit::Binds) => format!(
                "{} tasks whose handlers wait {} ms, {} at once of each of {} tenants; ×PLAIN is the share of the \
                 places' time that is used",
                flow::BOUND,
                crate::systems::flow::WORK.as_millis(),
                crate::systems::flow::OF_TENANT,
                crate::systems::flow::TENANTS,
            ),
            Self::Limits(Limit::HoldsBack) => format!(
                "{} tasks without limits, beside {} that their limits hold back",
                effort.backlog, effort.many
            ),
            Self::Limits(limit) => format!(
                "{} tasks with a limit {} that never binds, beside as many without",
                effort.backlog,
                match limit {
                    Limit::ByKeyInVain => "of each of 50 tenants",
                    _ => "of their type",
                }
            ),
            Self::Order(Order::FairAlone) => format!(
                "{} tasks of one tenant that do nothing, in fair turns; beside as many without turns",
                effort.backlog
            ),
            Self::Order(Order::FairAmongMany) => format!(
                "{} tasks that do nothing, each of another tenant, in fair turns; beside as many without turns",
                flow::FAIR_TENANTS
            ),
            Self::Order(Order::ManyAtRandom) => format!(
                "tasks a second of the server's time that claims take, while {} wait; ×PLAIN is beside {} that wait",
                effort.many,
                flow::FEW
            ),
            Self::Batch(many) => format!(
                "{} tasks whose handlers insert their payloads in the completing transaction, {}; ×PLAIN is beside one by \
                 one",
                effort.slow_backlog,
                match many {
                    Many::Hundred => "a hundred by one statement",
                    Many::Thousand => "a thousand by one statement",
                    Many::Poisoned => "a thousand by one statement, and one of all is refused",
                }
            ),
            Self::Order(_) => format!(
                "{} tasks that succeed among as many that fail, until the last good one is completed; ×PLAIN is beside \
                 twice as many good ones",
                flow::GOOD
            ),
        }
    }

    /// Returns how good a measurement is: more is better.
    pub fn goodness(&self, sample: &Sample) -> Option<f64> {
        match self {
            Self::Growth(Situation::Stream)
            | Self::Latency(Pace::Idle)
            | Self::Network(Network {
                what: Remote::Idle, ..
            }) => sample.p50_ms.map(|ms| 1.0 / ms),
            Self::Latency(_) => sample.p99_ms.map(|ms| 1.0 / ms),
            Self::Drain(_)
            | Self::Insert { .. }
            | Self::Bulk
            | Self::Growth(_)
            | Self::Network(_)
            | Self::Limits(_)
            | Self::Order(_)
            | Self::Batch(_) => sample.per_second,
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
            Self::Latency(pace) => latency::measure(bench, *pace).await,
            Self::Growth(situation) => growth::measure(bench, *situation).await,
            Self::Network(network) => network::measure(bench, *network).await,
            Self::Limits(limit) => flow::measure_limit(bench, *limit).await,
            Self::Order(order) => flow::measure_order(bench, *order).await,
            Self::Batch(many) => batch::measure(bench, *many).await,
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
            Self::Latency(Pace::Idle) => f.write_str("latency, idle"),
            Self::Latency(Pace::FiveHundred) => f.write_str("latency, 500/s"),
            Self::Latency(Pace::HalfOfDrain) => f.write_str("latency, half of the drain"),
            Self::Growth(situation) => match situation {
                Situation::Plain => f.write_str("growth, plain"),
                Situation::Fed => write!(f, "growth, {FED} kept waiting"),
                Situation::Waiting(Count::TenThousand) => f.write_str("growth, 10,000 wait"),
                Situation::Waiting(Count::Backlog) => f.write_str("growth, 100,000 wait"),
                Situation::Waiting(Count::Many) => f.write_str("growth, many wait"),
                Situation::BehindUnknown => write!(f, "growth, behind {UNKNOWN} unknown"),
                Situation::FutureAndFinished => f.write_str("growth, many future and finished"),
                Situation::HeldTransaction => f.write_str("growth, transaction held open"),
                Situation::Stream => f.write_str("growth, stream beside a transaction held open"),
                Situation::Processes(1) => f.write_str("growth, 1 process"),
                Situation::Processes(count) => write!(f, "growth, {count} processes"),
            },
            Self::Network(network) => write!(f, "{network}"),
            Self::Limits(limit) => f.write_str(match limit {
                Limit::InVain => "limits, one that never binds",
                Limit::ByKeyInVain => "limits, one by key that never binds",
                Limit::Binds => "limits, one by key that binds",
                Limit::HoldsBack => "limits, many held back",
            }),
            Self::Order(order) => f.write_str(match order {
                Order::Failing => "order, among failing",
                Order::FailingAtRandom => "order, among failing at random",
                Order::ManyAtRandom => "order, many wait at random",
                Order::FairAlone => "order, fair turns of one tenant",
                Order::FairAmongMany => "order, fair turns of many tenants",
            }),
            Self::Batch(many) => f.write_str(match many {
                Many::Hundred => "batches of 100",
                Many::Thousand => "batches of 1,000",
                Many::Poisoned => "batches of 1,000, one payload poisoned",
            }),
        }
    }
}

/// Who is measured, where, and how much.
#[derive(Clone, Copy)]
pub struct Bench<'a> {
    pub server: &'a Server,
    pub system: &'a dyn System,
    pub effort: Effort,
    /// What the system drained a second, if that was measured before.
    pub drain_rate: Option<f64>,
    /// Through which the system speaks to the server, if that is away.
    pub relay: Option<&'a Relay>,
}

impl Bench<'_> {
    /// Makes a database of the measurement's own, with the tables of its system.
    async fn database(&self) -> Result<Database> {
        if self.effort.why {
            self.server.count_statements().await?;
        }
        let db = self.server.database().await?;
        self.system.set_up(&db).await?;
        // Before the rows come, so that their pages are not written in full a second time.
        self.server.checkpoint().await?;
        Ok(self.through_relay(db))
    }

    /// Begins to look where the time goes, if that is asked.
    pub async fn watch(&self, db: &Database) -> Result<Option<Watch>> {
        match self.effort.why {
            true => Watch::begin(db).await.map(Some),
            false => Ok(None),
        }
    }

    /// Has all but the bench itself speak to a database through the relay, if there is one.
    fn through_relay(&self, mut db: Database) -> Database {
        if let Some(relay) = self.relay {
            db.url = relay.url(&db.name);
        }
        db
    }
}

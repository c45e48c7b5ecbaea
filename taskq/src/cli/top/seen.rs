//! What is read from the database, and how often.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::mpsc::Sender;
use tokio::time::{sleep, timeout};

use crate::error::{OperateError, error_text};
use crate::operate::cause::Cause;
use crate::operate::doctor::{Ailment, LastLook};
use crate::operate::filter::Filter;
use crate::operate::list::FoundTask;
use crate::operate::minutes::Minute;
use crate::operate::pause::Operator;
use crate::operate::stats::Stats;
use crate::operate::workers::WorkerStatus;

/// No more than one look in this time.
const BETWEEN: Duration = Duration::from_secs(1);

/// A database that says nothing for so long is away.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest wait for a database that is away.
const LONGEST_WAIT: Duration = Duration::from_secs(8);

/// What changes slowly is read with each fifth look, and what is wrong with each fifteenth.
const SLOW: u64 = 5;
const SLOWEST: u64 = 15;

/// How far back workers' minutes are read.
const MINUTES: Duration = Duration::from_secs(3 * 60);

/// So many running tasks and causes are read at the most.
const MOST_RUNNING: u16 = 500;
const MOST_CAUSES: u16 = 100;

/// All that was seen last.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) stats: Option<Stats>,
    pub(super) running: Vec<FoundTask>,
    pub(super) minutes: Vec<Minute>,
    pub(super) workers: Vec<WorkerStatus>,
    pub(super) causes: Vec<Cause>,
    pub(super) ailments: Vec<Ailment>,
    /// Whether it was looked for what is wrong.
    pub(super) is_examined: bool,
}

/// What one look has brought.
#[derive(Debug)]
pub(super) enum News {
    Often(Stats, Vec<FoundTask>),
    Slow(Vec<Minute>, Vec<WorkerStatus>, Vec<Cause>),
    Slowest(Vec<Ailment>),
    /// The database has not answered, and this is why.
    Away(String),
}

impl Seen {
    /// Returns the trouble that nobody has acknowledged, errors first.
    pub(super) fn unknown(&self) -> impl Iterator<Item = &Ailment> {
        self.ailments.iter().filter(|it| it.acknowledged.is_none())
    }

    /// Returns the time of the database.
    pub(super) fn at(&self) -> Option<DateTime<Utc>> {
        self.stats.as_ref().map(|stats| stats.at)
    }

    pub(super) fn learn(&mut self, news: News) {
        match news {
            News::Often(stats, mut running) => {
                running.sort_by_key(|task| task.at);
                (self.stats, self.running) = (Some(stats), running);
            }
            News::Slow(minutes, workers, causes) => {
                (self.minutes, self.workers, self.causes) = (minutes, workers, causes);
            }
            News::Slowest(ailments) => (self.ailments, self.is_examined) = (ailments, true),
            News::Away(_) => {}
        }
    }
}

/// Looks again and again, until nobody listens. Waits longer and longer while the database is away.
pub(super) async fn watch(operator: Operator, listener: Sender<News>) {
    let mut round = 0;
    let mut wait = BETWEEN;
    let way = LastLook::default();
    loop {
        match look(&operator, &way, &listener, round).await {
            Ok(()) => (round, wait) = (round + 1, BETWEEN),
            Err(why) => {
                if listener.send(News::Away(why)).await.is_err() {
                    return;
                }
                // All of it is old by then.
                (round, wait) = (0, (wait * 2).min(LONGEST_WAIT));
            }
        }
        if listener.is_closed() {
            return;
        }
        sleep(wait).await;
    }
}

async fn look(
    operator: &Operator,
    way: &LastLook,
    listener: &Sender<News>,
    round: u64,
) -> Result<(), String> {
    // If nobody listens any more, the next look is the last.
    let tell = async |news| _ = listener.send(news).await;
    let running = "state:running".parse::<Filter>().unwrap_or_default();
    let often = async {
        let stats = operator.stats().await?;
        let running = operator.list(&running).most(MOST_RUNNING).await?;
        Ok((stats, running.tasks))
    };
    let (stats, running) = in_time(often).await?;
    tell(News::Often(stats, running)).await;
    if round.is_multiple_of(SLOW) {
        let slow = async {
            let minutes = operator.minutes(MINUTES).await?;
            let workers = operator.workers().await?;
            let causes = operator.causes(&Filter::default()).most(MOST_CAUSES);
            Ok((minutes, workers, causes.await?.causes))
        };
        let (minutes, workers, causes) = in_time(slow).await?;
        tell(News::Slow(minutes, workers, causes)).await;
    }
    if round.is_multiple_of(SLOWEST) {
        tell(News::Slowest(in_time(operator.doctor_again(way)).await?)).await;
    }
    Ok(())
}

async fn in_time<T>(looking: impl Future<Output = Result<T, OperateError>>) -> Result<T, String> {
    match timeout(PATIENCE, looking).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(error_text(&error)),
        Err(_) => Err(format!("no answer in {} s", PATIENCE.as_secs())),
    }
}

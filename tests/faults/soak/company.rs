//! What the application enqueues meanwhile in batches and groups, and who waits for some of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use sqlx::{Connection, PgConnection, query_scalar};
use taskq::error::BoxError;
use taskq_tests::history::Plan;
use tokio::time::{sleep, timeout};

use super::World;
use crate::kill::any_plan;
use crate::stage::company::{KINDS, Kind, Wave};
use crate::stage::{Finale, REPEATABLE, Running, Stage, until};

/// Tasks that wait at the most.
const MOST_WAITING: i64 = 200;

/// Enqueues tasks of all kinds, half of them as members of groups, some of which are sealed later.
pub(crate) async fn enqueue(stage: &Stage, url: &str, is_over: &AtomicBool) {
    let mut connection = None;
    while !is_over.load(Ordering::Relaxed) {
        let enqueued = async {
            let mut db = match connection.take() {
                Some(db) => db,
                None => PgConnection::connect(url).await?,
            };
            let waiting: i64 =
                query_scalar("select count(*) from taskq.task where queue = 'company'")
                    .fetch_one(&mut db)
                    .await?;
            if waiting < MOST_WAITING {
                enqueue_some(stage, &mut db).await?;
            }
            sleep(Duration::from_millis(fastrand::u64(20..120))).await;
            Ok::<_, BoxError>(db)
        };
        match timeout(Duration::from_secs(5), enqueued).await {
            Ok(Ok(db)) => connection = Some(db),
            _ => sleep(Duration::from_millis(100)).await,
        }
        if fastrand::u8(..4) == 0 {
            // In the end all of them.
            let _ = timeout(Duration::from_secs(5), stage.seal(3)).await;
        }
    }
}

async fn enqueue_some(stage: &Stage, db: &mut PgConnection) -> Result<(), BoxError> {
    let kind = fastrand::choice(KINDS).unwrap_or(Kind::Answered);
    let count = match kind {
        Kind::GatherEach | Kind::GatherAll => fastrand::i64(1..=40),
        _ => fastrand::i64(0..=5),
    };
    let wave = Wave {
        kind,
        plan: match kind {
            // Where Postgres refuses one that is to be dead, since its id has come again, it keeps the others for long.
            Kind::GatherEach => Plan {
                failures: fastrand::u16(0..=1),
                ..REPEATABLE
            },
            _ => any_plan(0.0),
        },
        count,
        takes_ms: fastrand::u64(..200),
        is_group: fastrand::bool(),
        finale: match fastrand::u8(..20) {
            0 => Finale::RollBack,
            _ => Finale::Commit,
        },
    };
    stage.enqueue_company(db, wave).await
}

/// Seals the groups that are not sealed, until there is none.
pub(crate) async fn seal_all(stage: &Stage) {
    until("sealed", async || matches!(stage.seal(1_000).await, Ok(0))).await;
}

impl World<'_> {
    /// Starts a process in which somebody waits.
    pub(super) fn waiter(&self, at: usize) -> Running {
        let url = match at {
            0 => self.roads.direct.clone(),
            _ => self.roads.through_proxy.clone(),
        };
        let waiter = self.stage.worker().set("WAITS", true);
        waiter.set("DATABASE_URL", url).start()
    }
}

/// Has processes in which somebody waits come to their end, when all tasks have.
pub(crate) async fn end_waits(waiters: &mut Vec<Running>) {
    for waiter in waiters.iter() {
        waiter.signal(Signal::TERM);
    }
    for waiter in &mut *waiters {
        waiter.ended().await;
    }
    waiters.clear();
}

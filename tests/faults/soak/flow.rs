//! What the application enqueues meanwhile that has keys and limits, and what an operator pauses.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection, query_scalar};
use taskq::error::BoxError;
use taskq_tests::history::Scope;
use tokio::time::{sleep, timeout};

use super::World;
use crate::stage::{Stage, until};

/// Tasks with limits that wait at the most, so that they do not wait for long afterwards.
const MOST_WAITING: i64 = 40;

/// So many keys are asked for at a time, and for so long.
const KEYS: i64 = 8;
const KEYS_LAST: Duration = Duration::from_secs(5);

/// Nothing else is done for so long after a pause: all workers have heard of it then.
const CALM: Duration = Duration::from_millis(4_200);

/// Enqueues tasks one by one that share keys with each other, and some that have limits.
pub(super) async fn enqueue(stage: &Stage, url: &str, is_over: &AtomicBool) {
    let began = Instant::now();
    let mut connection = None;
    while !is_over.load(Ordering::Relaxed) {
        let enqueued = async {
            let mut db = match connection.take() {
                Some(db) => db,
                None => PgConnection::connect(url).await?,
            };
            for _ in 0..5 {
                let of_time = began.elapsed().as_secs() / KEYS_LAST.as_secs();
                let key = i64::try_from(of_time)? * KEYS + fastrand::i64(0..KEYS);
                let failures = u16::from(fastrand::u8(..10) == 0);
                let takes_ms = fastrand::u64(..200);
                stage
                    .enqueue_single(&mut db, key, failures, takes_ms)
                    .await?;
                sleep(Duration::from_millis(fastrand::u64(..30))).await;
            }
            let waiting: i64 =
                query_scalar("select count(*) from taskq.task where task_type = 'tenanted'")
                    .fetch_one(&mut db)
                    .await?;
            if waiting < MOST_WAITING {
                let (count, takes_ms) = (fastrand::i64(1..=10), fastrand::u64(50..2_000));
                let failures = u16::from(fastrand::u8(..10) == 0);
                stage
                    .enqueue_tenanted(&mut db, failures, count, takes_ms)
                    .await?;
            }
            Ok::<_, BoxError>(db)
        };
        match timeout(Duration::from_secs(5), enqueued).await {
            Ok(Ok(db)) => connection = Some(db),
            _ => sleep(Duration::from_millis(100)).await,
        }
    }
}

impl World<'_> {
    /// Pauses something for so many further faults, the first of which come when all workers have heard of it.
    pub(super) async fn pause(&mut self, calm: Duration) {
        let name = |name: &str| name.to_owned();
        let scopes = [
            Scope::Queue(name("default")),
            Scope::Queue(name("flow")),
            Scope::Queue(name("company")),
            Scope::TaskType(name("gather_each")),
            Scope::TaskType(name("repeatable")),
            Scope::TaskType(name("once")),
            Scope::TaskType(name("once_lazily")),
            Scope::TaskType(name("tenanted")),
            Scope::TaskType(name("single")),
        ];
        if self.pause.is_none()
            && let Some(scope) = fastrand::choice(scopes)
            && self.stage.pause(&scope).await.is_ok()
        {
            self.pause = Some((scope, fastrand::u8(1..=3)));
            sleep(calm).await;
        }
    }

    /// Pauses something for a while in which nothing else is done.
    pub(super) async fn pause_in_calm(&mut self) {
        self.pause(CALM).await;
    }

    /// Ends the pause, when it is time.
    pub(super) async fn let_pause_go(&mut self) {
        match &mut self.pause {
            Some((_, 0)) => self.end_pause().await,
            Some((_, faults)) => *faults -= 1,
            None => {}
        }
    }

    pub(super) async fn end_pause(&mut self) {
        if let Some((scope, _)) = self.pause.take() {
            until("resumed", async || self.stage.resume(&scope).await.is_ok()).await;
        }
    }

    /// Makes sure that limits count what leases list.
    pub(super) async fn look_at_places(&self) {
        let wrong = self.stage.wrong_places().await;
        // Something may be in the way of that, too.
        let wrong = wrong.unwrap_or_default();
        assert!(wrong.is_empty(), "{wrong:#?}\n{}", self.stage);
    }
}

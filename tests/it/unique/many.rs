//! Many who enqueue at once, and many tasks at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use taskq::unique::{OnConflict, Unique};
use taskq::{EnqueueOutcome, handler};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::{Sum, WAITING};
use crate::support::{database, one, until, while_working, worker};

#[tokio::test]
async fn sixty_four_who_enqueue_at_once_beside_workers_leave_one_living_task_for_each_key() {
    let (_database, pool) = database().await;
    let total = Arc::new(AtomicI64::new(0));
    let created = Arc::new(AtomicI64::new(0));
    let start = Arc::new(Barrier::new(64));
    let more_than_one = "select count(*) from (select payload from taskq.tasks where state in ('waiting', 'running') group by payload having count(*) > 1) as twice";
    while_working(
        worker(&pool).only::<(Sum,)>().state_arc(total.clone()),
        async {
            let mut clients = JoinSet::new();
            for client in 0..64 {
                let (pool, created, start) = (pool.clone(), created.clone(), start.clone());
                clients.spawn(async move {
                    start.wait().await;
                    for round in 0..20 {
                        let n = (client + round) % 5;
                        let mut db = pool.acquire().await.expect("a connection");
                        let enqueue = Sum::enqueue(&mut db, n).unique(Unique::new());
                        if enqueue.await.expect("enqueued").outcome == EnqueueOutcome::Created {
                            created.fetch_add(n, Ordering::SeqCst);
                        }
                    }
                });
            }
            while let Some(client) = clients.join_next().await {
                client.expect("a client");
                assert_eq!(one::<i64>(&pool, more_than_one).await, 0);
            }
            until("all ran", async || one::<i64>(&pool, WAITING).await == 0).await;
        },
    )
    .await;
    assert_eq!(total.load(Ordering::SeqCst), created.load(Ordering::SeqCst));
}

/// A task type that says itself that it is unique.
struct Note {
    n: i64,
}

impl taskq::Payload for Note {
    const TASK_TYPE: &'static str = "note";
    const OPTIONS: handler::TaskOptions = handler::TaskOptions::new().unique(
        Unique::new()
            .on_conflict(OnConflict::Replace)
            .fields(&["n"]),
    );

    fn encode(&self) -> Result<Box<taskq::json::RawValue>, taskq::error::EncodeError> {
        taskq::json::encode(&serde_json::json!({"n": self.n / 10, "last": self.n % 10}))
    }

    fn decode(
        _raw: &taskq::json::RawValue,
        _version: Option<u16>,
    ) -> Result<Self, taskq::error::DecodeError> {
        Ok(Self { n: 0 })
    }
}

#[tokio::test]
async fn many_at_once_have_their_keys_too_and_those_of_one_call() {
    use EnqueueOutcome::{Created, Replaced};
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let notes = [10, 20, 11, 30, 12].map(|n| Note { n });
    let enqueued = taskq::enqueue_many(&mut db, notes).await.expect("enqueued");
    let outcomes: Vec<_> = enqueued.iter().map(|it| it.outcome).collect();
    assert_eq!(outcomes, [Created, Created, Replaced, Created, Replaced]);
    assert_eq!(enqueued[0].task_id, enqueued[4].task_id);
    let last =
        "select string_agg(payload ->> 'last', ',' order by payload ->> 'n') from taskq.task";
    assert_eq!(one::<String>(&pool, last).await, "2,0,0", "the last wins");
    let copied = taskq::enqueue_copy(&mut db, [13, 40].map(|n| Note { n })).await;
    assert_eq!(copied.expect("copied"), 1, "one was there");
    assert_eq!(one::<String>(&pool, last).await, "3,0,0,0");
}

#[tokio::test]
async fn calls_with_their_keys_in_reverse_never_deadlock() {
    let (_database, pool) = database().await;
    let mut sessions = JoinSet::new();
    for is_reversed in [false, true] {
        let pool = pool.clone();
        sessions.spawn(async move {
            let mut db = pool.acquire().await.expect("a connection");
            for _ in 0..1_000 {
                let mut notes: Vec<_> = (0..5).map(|n| Note { n: n * 10 }).collect();
                if is_reversed {
                    notes.reverse();
                }
                taskq::enqueue_many(&mut db, notes)
                    .await
                    .expect("no deadlock");
            }
        });
    }
    while let Some(session) = sessions.join_next().await {
        session.expect("a session");
    }
    assert_eq!(one::<i64>(&pool, WAITING).await, 5);
}

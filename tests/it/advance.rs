//! `testing::advance`: whatever waits for a time comes when time moves on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use sqlx::PgPool;
use taskq::operate::Queue;
use taskq::testing::{AdvanceError, advance};
use taskq::unique::{Unique, Until};
use taskq::{EnqueueOutcome, task};
use tokio::sync::Notify;

use crate::support::{database, leave_behind, one, until, while_working};

const HOUR: Duration = Duration::from_secs(3600);

#[task]
async fn count(runs: &AtomicUsize) {
    runs.fetch_add(1, Ordering::SeqCst);
}

#[task]
async fn fails(runs: &AtomicUsize) -> Result<(), &'static str> {
    runs.fetch_add(1, Ordering::SeqCst);
    Err("no")
}

#[task]
async fn waits(go: &Notify) {
    go.notified().await;
}

/// An idle worker that polls once an hour.
fn idle(pool: &PgPool, runs: &Arc<AtomicUsize>) -> taskq::WorkerBuilder {
    taskq::Worker::builder(pool.clone())
        .only::<(Count, Fails)>()
        .state_arc(Arc::clone(runs))
        .poll_interval(HOUR)
}

async fn until_run(runs: &AtomicUsize, times: usize) {
    until("run", async || runs.load(Ordering::SeqCst) == times).await;
}

#[tokio::test]
async fn an_idle_worker_runs_at_once_what_has_become_due() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let enqueue = taskq::enqueue(&mut db, Count {}).delay(24 * HOUR);
    enqueue.await.expect("enqueued");
    let runs = Arc::new(AtomicUsize::default());
    while_working(idle(&pool, &runs), async {
        let asleep = "select exists (select from taskq.sleeper)";
        until("asleep", async || one::<bool>(&pool, asleep).await).await;
        advance(&pool, 23 * HOUR).await.expect("moved");
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(runs.load(Ordering::SeqCst), 0);
        advance(&pool, HOUR).await.expect("moved");
        until_run(&runs, 1).await;
    })
    .await;
}

#[tokio::test]
async fn a_backoff_passes() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    Fails::enqueue(&mut db).await.expect("enqueued");
    let runs = Arc::new(AtomicUsize::default());
    while_working(idle(&pool, &runs), async {
        for attempt in 1..=4 {
            until_run(&runs, attempt).await;
            until("settled", async || {
                !one::<bool>(&pool, "select exists (select from taskq.lease)").await
            })
            .await;
            advance(&pool, 24 * HOUR).await.expect("moved");
        }
        until_run(&runs, 5).await;
    })
    .await;
}

#[tokio::test]
async fn a_lease_of_a_dead_worker_runs_out_and_a_task_expires() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    Count::enqueue(&mut db).await.expect("enqueued");
    leave_behind(&pool).await;
    sqlx::query("update taskq.lease set expires_at = now() + interval '50 minutes'")
        .execute(&pool)
        .await
        .expect("a lease that lasts");
    // One that expires by a time, and one by a length of it.
    let half_an_hour_ago = Utc::now() - TimeDelta::minutes(30);
    let enqueue = taskq::enqueue(&mut db, Count {}).run_at(half_an_hour_ago);
    enqueue.expires(HOUR).await.expect("enqueued");
    let enqueue = taskq::enqueue(&mut db, Count {}).expires(HOUR / 2);
    enqueue.await.expect("enqueued");
    advance(&pool, HOUR).await.expect("moved");
    let runs = Arc::new(AtomicUsize::default());
    while_working(idle(&pool, &runs), async {
        until_run(&runs, 1).await;
        let expired = "select count(*) from taskq.dead where state = 'expired'";
        until("expired", async || one::<i64>(&pool, expired).await == 2).await;
    })
    .await;
}

#[tokio::test]
async fn a_pause_ends_and_a_key_is_free() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let unique = Unique::new().until(Until::Within(HOUR));
    let mut enqueue = async || {
        let enqueue = taskq::enqueue(&mut db, Count {}).unique(unique);
        enqueue.await.expect("enqueued").outcome
    };
    assert_eq!(enqueue().await, EnqueueOutcome::Created);
    assert_eq!(enqueue().await, EnqueueOutcome::Existing);
    let operator = taskq::operate(&pool);
    let pause = operator.pause(Queue("default"));
    pause.until(Utc::now() + HOUR).await.expect("paused");
    advance(&pool, HOUR).await.expect("moved");
    assert_eq!(enqueue().await, EnqueueOutcome::Created);
    let runs = Arc::new(AtomicUsize::default());
    while_working(idle(&pool, &runs), until_run(&runs, 2)).await;
}

#[tokio::test]
async fn a_schedule_ticks() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let mut schedules = taskq::schedules(&mut db);
    let upsert = schedules.upsert("yearly", "0 0 1 1 *", "UTC", Count {});
    upsert.await.expect("a schedule");
    let runs = Arc::new(AtomicUsize::default());
    while_working(idle(&pool, &runs), async {
        let known = "select next_tick is not null from taskq.schedule";
        until("known", async || one::<bool>(&pool, known).await).await;
        advance(&pool, 366 * 24 * HOUR).await.expect("moved");
        until("ticked", async || runs.load(Ordering::SeqCst) > 0).await;
    })
    .await;
}

#[tokio::test]
async fn time_does_not_move_while_a_handler_runs() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let task = Waits::enqueue(&mut db).await.expect("enqueued");
    let go = Arc::new(Notify::new());
    let work = taskq::Worker::builder(pool.clone())
        .only::<(Waits,)>()
        .state_arc(Arc::clone(&go));
    while_working(work, async {
        let running = "select exists (select from taskq.lease)";
        until("running", async || one::<bool>(&pool, running).await).await;
        let before: String = one(&pool, "select created_at::text from taskq.tasks").await;
        let refused = advance(&pool, HOUR).await.expect_err("refused");
        let text = refused.to_string();
        assert!(
            matches!(refused, AdvanceError::Running { task_ids } if task_ids == [task.task_id]),
            "{text}"
        );
        let after: String = one(&pool, "select created_at::text from taskq.tasks").await;
        assert_eq!(before, after);
        go.notify_one();
        until("ended", async || !one::<bool>(&pool, running).await).await;
        advance(&pool, HOUR).await.expect("moved");
    })
    .await;
}

//! Once a lease is lost, nothing counts that was done under it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use sqlx::{PgConnection, PgPool};
use taskq::task;
use tokio::sync::{Notify, RwLock};

use super::brief_lease;
use crate::support::{Log, database, execute, states, task as find, until, while_working, worker};

#[tokio::test]
async fn an_outcome_does_not_count_once_the_task_was_rescued() {
    #[task]
    async fn late(release: &Notify, runs: &AtomicUsize) -> Result<(), &'static str> {
        runs.fetch_add(1, Ordering::SeqCst);
        release.notified().await;
        Err("too late")
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let task_id = Late::enqueue(&mut db).await.expect("enqueued").task_id;
    let (release, runs) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let worker = worker(&pool)
        .only::<(Late,)>()
        .state_arc(release.clone())
        .state_arc(runs.clone());
    while_working(worker, async {
        until("started", async || runs.load(Ordering::SeqCst) == 1).await;
        steal(&pool).await;
        release.notify_one();
        until("started again", async || runs.load(Ordering::SeqCst) == 2).await;
        let row = find(&pool, task_id).await.expect("running again");
        assert_eq!(
            (row.state.as_str(), row.attempts, row.crashes),
            ("running", 0, 1)
        );
        release.notify_one();
        until("failed", async || {
            find(&pool, task_id)
                .await
                .is_some_and(|it| it.attempts == 1)
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_completion_does_not_count_once_the_task_was_rescued() {
    #[task]
    async fn finished(release: &Notify, runs: &AtomicUsize) {
        runs.fetch_add(1, Ordering::SeqCst);
        release.notified().await;
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    Finished::enqueue(&mut db).await.expect("enqueued");
    let (release, runs) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let worker = worker(&pool)
        .only::<(Finished,)>()
        .state_arc(release.clone())
        .state_arc(runs.clone())
        .keep_completed(true);
    while_working(worker, async {
        until("started", async || runs.load(Ordering::SeqCst) == 1).await;
        steal(&pool).await;
        release.notify_one();
        until("started again", async || runs.load(Ordering::SeqCst) == 2).await;
        assert!(!states(&pool).await.contains_key("completed"));
        release.notify_one();
        until("completed", async || {
            states(&pool).await.contains_key("completed")
        })
        .await;
    })
    .await;
    assert_eq!(states(&pool).await["completed"], 1);
}

#[tokio::test]
async fn handlers_are_stopped_when_a_heartbeat_finds_the_lease_gone() {
    struct Dropped(Arc<AtomicUsize>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[task]
    async fn stopped(drops: &Arc<AtomicUsize>) {
        let _dropped = Dropped(drops.clone());
        std::future::pending::<()>().await;
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    Stopped::enqueue(&mut db).await.expect("enqueued");
    let drops = Arc::new(AtomicUsize::new(0));
    let worker = brief_lease(&pool)
        .only::<(Stopped,)>()
        .state(drops.clone())
        .grace_period(Duration::ZERO);
    while_working(worker, async {
        until("running", async || {
            states(&pool).await.contains_key("running")
        })
        .await;
        execute(&pool, "delete from taskq.lease").await;
        until("stopped", async || drops.load(Ordering::SeqCst) == 1).await;
    })
    .await;
}

#[tokio::test]
async fn a_handler_does_not_begin_whose_lease_was_lost_while_it_waited_for_a_connection() {
    #[task]
    async fn patient(_tx: &mut PgConnection, runs: &AtomicUsize) {
        runs.fetch_add(1, Ordering::SeqCst);
    }

    let log = Log::capture();
    let (_database, pool) = database().await;
    let (gate, gated) = gated(&pool);
    let mut db = pool.acquire().await.expect("a connection");
    let runs = Arc::new(AtomicUsize::new(0));
    let worker = brief_lease(&gated)
        .only::<(Patient,)>()
        .state_arc(runs.clone());
    while_working(worker, async {
        Patient::enqueue(&mut db).await.expect("enqueued");
        until("one has run", async || states(&pool).await.is_empty()).await;
        let closed = gate.write().await;
        Patient::enqueue(&mut db).await.expect("enqueued");
        until("claimed", async || {
            states(&pool).await.contains_key("running")
        })
        .await;
        execute(&pool, "delete from taskq.lease").await;
        until("lost", async || log.has("leases lost")).await;
        drop(closed);
        until("over", async || log.has("this attempt does not count")).await;
    })
    .await;
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

/// A pool that gives no connection away while somebody has closed its gate.
pub(crate) fn gated(pool: &PgPool) -> (Arc<RwLock<()>>, PgPool) {
    let gate = Arc::new(RwLock::new(()));
    let (fresh, used) = (gate.clone(), gate.clone());
    let pool = PgPoolOptions::new()
        .max_connections(40)
        .after_connect(move |_, _| {
            let gate = fresh.clone();
            Box::pin(async move {
                drop(gate.read().await);
                Ok(())
            })
        })
        .before_acquire(move |_, _| {
            let gate = used.clone();
            Box::pin(async move {
                drop(gate.read().await);
                Ok(true)
            })
        })
        .connect_lazy_with((*pool.connect_options()).clone());
    (gate, pool)
}

/// Does what a rescuer does that takes the worker for dead.
pub(crate) async fn steal(pool: &PgPool) {
    execute(
        pool,
        "with gone as (delete from taskq.lease returning *)
         insert into taskq.task (task_id, task_type, payload, queue, priority, run_at, created_at, max_attempts, attempts, crashes, errors)
         overriding system value
         select task.task_id, task.task_type, task.payload, gone.queue, task.priority, task.run_at, task.created_at, task.max_attempts, task.attempts, task.crashes + 1, task.errors
         from gone cross join lateral unnest(task_ids, task_types, payloads, priorities, run_ats, created_ats, max_attempts, attempts, crashes, errors)
           as task (task_id, task_type, payload, priority, run_at, created_at, max_attempts, attempts, crashes, errors)",
    )
    .await;
}

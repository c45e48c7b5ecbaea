//! Stopping: no new tasks, time for those that run, the rest handed back at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sqlx::PgConnection;
use taskq::handler::StopNow;
use taskq::{Attempt, WorkerError, task};
use tokio::sync::{Notify, oneshot};
use tokio::time::sleep;

use crate::support::{
    count_effects, database, effects, one, states, task as find, until, while_working, worker,
};

#[task]
async fn endless(started: &AtomicUsize) {
    started.fetch_add(1, Ordering::SeqCst);
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn what_has_not_ended_in_the_grace_period_is_handed_back_at_once() {
    #[task]
    async fn endless_writer(tx: &mut PgConnection, started: &AtomicUsize) -> sqlx::Result<()> {
        sqlx::query("insert into effect values (1)")
            .execute(&mut *tx)
            .await?;
        started.fetch_add(1, Ordering::SeqCst);
        sqlx::query("select pg_sleep(3600)")
            .execute(tx)
            .await
            .map(drop)
    }

    let (_database, pool) = database().await;
    effects(&pool).await;
    let mut db = pool.acquire().await.expect("a connection");
    taskq::enqueue_many(&mut db, (0..5).map(|_| Endless {}))
        .await
        .expect("enqueued");
    EndlessWriter::enqueue(&mut db).await.expect("enqueued");
    let started = Arc::new(AtomicUsize::new(0));
    let worker = worker(&pool)
        .only::<(Endless, EndlessWriter)>()
        .state_arc(started.clone())
        .grace_period(Duration::from_millis(100));
    while_working(
        worker,
        until("started", async || started.load(Ordering::SeqCst) == 6),
    )
    .await;
    // Claimable at once, in their old places, and nothing has happened to them.
    let untouched: i64 = one(
        &pool,
        "select count(*) from taskq.task where run_at <= now() and attempts = 0 and crashes = 0 and errors is null",
    )
    .await;
    assert_eq!(untouched, 6);
    assert_eq!(
        one::<i64>(&pool, "select count(*) from taskq.lease").await,
        0
    );
    assert_eq!(count_effects(&pool).await, (0, 0));
}

#[tokio::test]
async fn handlers_go_on_with_their_leases_kept_and_are_told_of_the_stop() {
    #[task]
    async fn careful(attempt: &Attempt, runs: &AtomicUsize) {
        runs.fetch_add(1, Ordering::SeqCst);
        attempt.cancelled().await;
        // Several leases long.
        sleep(Duration::from_secs(5)).await;
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    Careful::enqueue(&mut db).await.expect("enqueued");
    let runs = Arc::new(AtomicUsize::new(0));
    let of_lease = || {
        worker(&pool)
            .only::<(Careful,)>()
            .state_arc(runs.clone())
            .lease(Duration::from_secs(2))
    };
    let (stopped, was_stopped) = oneshot::channel::<()>();
    let stopping = async {
        while_working(
            of_lease(),
            until("started", async || runs.load(Ordering::SeqCst) == 1),
        )
        .await;
        drop(stopped);
    };
    let watching = while_working(of_lease(), async {
        was_stopped.await.ok();
    });
    tokio::join!(stopping, watching);
    assert_eq!(
        runs.load(Ordering::SeqCst),
        1,
        "nobody took it while the first worker was stopping"
    );
    assert!(states(&pool).await.is_empty(), "and it was completed");
}

#[tokio::test]
async fn a_worker_that_is_stopping_claims_nothing_more() {
    #[task]
    async fn gate(started: &AtomicUsize, gate: &Notify) {
        started.fetch_add(1, Ordering::SeqCst);
        gate.notified().await;
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    Gate::enqueue(&mut db).await.expect("enqueued");
    let (started, open) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let worker = worker(&pool)
        .only::<(Gate,)>()
        .state_arc(started.clone())
        .state_arc(open.clone());
    let worker = worker.build().await.expect("a worker");
    let (stop, stopped) = oneshot::channel::<()>();
    let test = async {
        until("started", async || started.load(Ordering::SeqCst) == 1).await;
        drop(stop);
        sleep(Duration::from_millis(50)).await;
        Gate::enqueue(&mut db).await.expect("enqueued");
        sleep(Duration::from_millis(300)).await;
        open.notify_one();
    };
    let run = worker.run_until(async {
        stopped.await.ok();
    });
    let ((), ended) = tokio::join!(test, run);
    ended.expect("stopped in order");
    assert_eq!(started.load(Ordering::SeqCst), 1);
    assert_eq!(states(&pool).await["waiting"], 1);
}

#[tokio::test]
async fn a_worker_that_has_nothing_to_do_does_not_wait_for_a_last_claim() {
    let (_database, pool) = database().await;
    let stop_one = async || {
        let started = AtomicUsize::new(0);
        let worker = worker(&pool).only::<(Endless,)>().state(started).build();
        let worker = worker.await.expect("the worker starts");
        let (stop, stopped) = oneshot::channel::<()>();
        let working = tokio::spawn(worker.run_until(async {
            stopped.await.ok();
        }));
        sleep(Duration::from_millis(300)).await;
        let asked = Instant::now();
        drop(stop);
        let ended = working.await.expect("no panic");
        ended.expect("the worker stops in order");
        asked.elapsed()
    };
    // A last claim has two seconds. The machine may be slow once, and twice.
    let took = [stop_one().await, stop_one().await, stop_one().await];
    assert!(took.iter().any(|it| it.as_secs() < 2), "{took:?}");
}

#[tokio::test]
async fn a_second_wish_to_stop_cuts_the_grace_period_short() {
    struct Impatient(oneshot::Receiver<()>);
    impl StopNow for Impatient {
        async fn stop_now(self) {
            self.0.await.ok();
        }
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let task_id = Endless::enqueue(&mut db).await.expect("enqueued").task_id;
    let started = Arc::new(AtomicUsize::new(0));
    let worker = worker(&pool)
        .only::<(Endless,)>()
        .state_arc(started.clone())
        .grace_period(Duration::from_secs(3600))
        .build()
        .await
        .expect("a worker");
    let ((first, second), (stop, now)) = {
        let (first, stop) = oneshot::channel::<()>();
        let (second, now) = oneshot::channel::<()>();
        ((first, second), (stop, now))
    };
    let test = async {
        until("started", async || started.load(Ordering::SeqCst) == 1).await;
        drop(first);
        sleep(Duration::from_millis(50)).await;
        drop(second);
    };
    let run = worker.run_until(async move {
        stop.await.ok();
        Impatient(now)
    });
    let ((), ended) = tokio::join!(test, run);
    ended.expect("stopped in order");
    assert_eq!(
        find(&pool, task_id).await.expect("handed back").state,
        "waiting"
    );
}

#[tokio::test]
async fn a_closed_pool_stops_the_worker_with_an_error() {
    let (database, pool) = database().await;
    let own = database.pool_of(20);
    let worker = worker(&own).only::<(Endless,)>().state(AtomicUsize::new(0));
    let worker = worker.build().await.expect("a worker");
    let close = async {
        until("registered", async || {
            one::<i64>(&pool, "select count(*) from taskq.worker").await == 1
        })
        .await;
        own.close().await;
    };
    let ((), ended) = tokio::join!(close, worker.run());
    assert!(matches!(ended, Err(WorkerError::PoolClosed)), "{ended:?}");
}

#[tokio::test]
async fn nothing_of_a_worker_outlives_it() {
    let (_database, pool) = database().await;
    let before = tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks();
    let started = Arc::new(AtomicUsize::new(0));
    let worker = worker(&pool)
        .only::<(Endless,)>()
        .state_arc(started.clone())
        .grace_period(Duration::ZERO);
    let mut db = pool.acquire().await.expect("a connection");
    Endless::enqueue(&mut db).await.expect("enqueued");
    drop(db);
    while_working(
        worker,
        until("started", async || started.load(Ordering::SeqCst) == 1),
    )
    .await;
    assert_eq!(Arc::strong_count(&started), 1);
    // The pool takes its connections back in tasks of its own.
    until("all have ended", async || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
            <= before
    })
    .await;
}

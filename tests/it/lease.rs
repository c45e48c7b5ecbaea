//! The lease: kept while a handler lives, lost when nobody keeps it, and the fence behind it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::{PgConnection, PgPool};
use taskq::{WorkerBuilder, task};
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::support::{
    count_effects, database, drain, effects, execute, one, states, task as find, until,
    while_working, worker,
};

/// Short enough to wait for, and long enough that a heartbeat comes in time on a busy machine.
const LEASE: Duration = Duration::from_secs(2);

fn brief_lease(pool: &PgPool) -> WorkerBuilder {
    worker(pool).lease(LEASE)
}

#[tokio::test]
async fn a_handler_that_runs_longer_than_its_lease_keeps_it() {
    #[task]
    async fn long(runs: &AtomicUsize) {
        runs.fetch_add(1, Ordering::SeqCst);
        sleep(LEASE * 3).await;
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    Long::enqueue(&mut db).await.expect("enqueued");
    let runs = Arc::new(AtomicUsize::new(0));
    let worker = || brief_lease(&pool).only::<(Long,)>().state_arc(runs.clone());
    tokio::join!(drain(worker(), &pool), drain(worker(), &pool));
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_lease_lasts_at_least_three_heartbeats() {
    #[task]
    async fn held(release: &Notify) {
        release.notified().await;
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    Held::enqueue(&mut db).await.expect("enqueued");
    let release = Arc::new(Notify::new());
    let lease = Duration::from_secs(2);
    let worker = worker(&pool)
        .lease(lease)
        .only::<(Held,)>()
        .state_arc(release.clone());
    while_working(worker, async {
        until("running", async || states(&pool).await.contains_key("running")).await;
        // What is left of the lease, looked at through more than a whole period of it, never
        // falls below what two more heartbeats need.
        for _ in 0..50 {
            let left: f64 = one(
                &pool,
                "select extract(epoch from min(expires_at) - clock_timestamp())::float8 from taskq.lease",
            )
            .await;
            assert!(left > LEASE.as_secs_f64() / 2.0, "{left} s left");
            sleep(LEASE / 40).await;
        }
        release.notify_one();
    })
    .await;
}

#[tokio::test]
async fn a_panic_ends_the_heartbeat_with_the_handler() {
    #[task]
    async fn panicking() {
        panic!("no");
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    Panicking::enqueue(&mut db).await.expect("enqueued");
    while_working(brief_lease(&pool).only::<(Panicking,)>(), async {
        until("failed", async || {
            one::<i64>(&pool, "select count(*) from taskq.task where attempts = 1").await == 1
        })
        .await;
        assert_eq!(
            one::<i64>(&pool, "select count(*) from taskq.lease").await,
            0
        );
    })
    .await;
}

#[tokio::test]
async fn a_task_whose_lease_expired_is_claimed_by_another_worker() {
    #[task]
    async fn orphan(runs: &AtomicUsize) {
        if runs.fetch_add(1, Ordering::SeqCst) == 0 {
            std::future::pending::<()>().await;
        }
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let task_id = Orphan::enqueue(&mut db).await.expect("enqueued").task_id;
    let runs = Arc::new(AtomicUsize::new(0));
    let worker = || {
        brief_lease(&pool)
            .only::<(Orphan,)>()
            .state_arc(runs.clone())
    };

    // Its future dropped, the first worker is as good as killed: it hands nothing back.
    let vanishing = worker().build().await.expect("the worker starts");
    tokio::select! {
        ended = vanishing.run() => panic!("{ended:?}"),
        () = until("started", async || runs.load(Ordering::SeqCst) == 1) => {}
    }
    assert_eq!(find(&pool, task_id).await.expect("leased").state, "running");

    while_working(worker(), async {
        until("run again", async || find(&pool, task_id).await.is_none()).await;
    })
    .await;
    assert_eq!(runs.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_vanished_worker_uses_no_attempt_and_is_counted_as_a_crash() {
    #[task]
    async fn abandoned() {}

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let task_id = Abandoned::enqueue(&mut db).await.expect("enqueued").task_id;
    leave_behind(&pool).await;
    // This worker knows nothing of the type, and rescues it all the same.
    while_working(brief_lease(&pool).only::<(Other,)>(), async {
        until("rescued", async || {
            find(&pool, task_id)
                .await
                .is_some_and(|it| it.state == "waiting")
        })
        .await;
    })
    .await;
    let row = find(&pool, task_id).await.expect("waiting");
    assert_eq!((row.attempts, row.crashes), (0, 1));
}

#[tokio::test]
async fn a_lease_that_cannot_be_rescued_does_not_keep_others_from_it() {
    let (_database, pool) = database().await;
    execute(&pool, "insert into taskq.task (task_type) values ('stuck')").await;
    leave_behind(&pool).await;
    // Its id is taken again meanwhile, as after a restored backup.
    execute(
        &pool,
        "insert into taskq.task (task_id, task_type) overriding system value select task_ids[1], 'stuck' from taskq.lease",
    )
    .await;
    execute(&pool, "insert into taskq.task (task_type) values ('free')").await;
    sqlx::raw_sql(
        "with batch as (delete from taskq.task where task_type = 'free' returning *)
         insert into taskq.lease (lease_id, worker_id, queue, expires_at, task_ids, task_types, payloads, priorities, run_ats, created_ats, max_attempts, attempts, crashes, errors)
         select gen_random_uuid(), gen_random_uuid(), queue, now() - interval '1 second', array[task_id], array[task_type], array[payload], array[priority], array[run_at], array[created_at], array[max_attempts], array[attempts], array[crashes], array[errors] from batch",
    )
    .execute(&pool)
    .await
    .expect("left behind");
    while_working(brief_lease(&pool).only::<(Other,)>(), async {
        until("rescued", async || {
            one::<i64>(
                &pool,
                "select count(*) from taskq.task where task_type = 'free' and crashes = 1",
            )
            .await
                == 1
        })
        .await;
    })
    .await;
}

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
async fn the_effects_of_a_handler_whose_lease_was_lost_are_rolled_back() {
    #[task]
    async fn effective(
        tx: &mut PgConnection,
        release: &Notify,
        runs: &AtomicUsize,
    ) -> sqlx::Result<()> {
        let run = runs.fetch_add(1, Ordering::SeqCst);
        sqlx::query("insert into effect values ($1)")
            .bind(i64::try_from(run).unwrap_or_default())
            .execute(tx)
            .await?;
        release.notified().await;
        Ok(())
    }

    let (_database, pool) = database().await;
    effects(&pool).await;
    let mut db = pool.acquire().await.expect("a connection");
    Effective::enqueue(&mut db).await.expect("enqueued");
    let (release, runs) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let worker = worker(&pool)
        .only::<(Effective,)>()
        .state_arc(release.clone())
        .state_arc(runs.clone());
    while_working(worker, async {
        until("started", async || runs.load(Ordering::SeqCst) == 1).await;
        steal(&pool).await;
        until("started again", async || runs.load(Ordering::SeqCst) == 2).await;
        // Both handlers are waiting now; both find that they have done their work.
        release.notify_one();
        release.notify_one();
        until("over", async || states(&pool).await.is_empty()).await;
    })
    .await;
    assert_eq!(count_effects(&pool).await, (1, 1));
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
async fn each_worker_has_an_identity_of_its_own() {
    let (_database, pool) = database().await;
    let (one, other) = (
        worker(&pool).only::<(Other,)>(),
        worker(&pool).only::<(Other,)>(),
    );
    let one = one.build().await.expect("a worker");
    let other = other.build().await.expect("a worker");
    assert_ne!(one.id(), other.id());
}

#[task]
async fn other() {}

/// Leaves what is waiting in the lease of a worker that is gone.
async fn leave_behind(pool: &PgPool) {
    execute(
        pool,
        "with batch as (delete from taskq.task returning *)
         insert into taskq.lease (lease_id, worker_id, queue, expires_at, task_ids, task_types, payloads, priorities, run_ats, created_ats, max_attempts, attempts, crashes, errors)
         select gen_random_uuid(), gen_random_uuid(), 'default', now() - interval '1 minute', array_agg(task_id), array_agg(task_type), array_agg(payload), array_agg(priority), array_agg(run_at), array_agg(created_at), array_agg(max_attempts), array_agg(attempts), array_agg(crashes), array_agg(errors) from batch",
    )
    .await;
}

/// Does what a rescuer does that takes the worker for dead.
async fn steal(pool: &PgPool) {
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

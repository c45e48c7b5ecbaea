//! The lease: kept while a handler lives, lost when nobody keeps it, and the fence behind it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use sqlx::{PgConnection, PgPool};
use taskq::{WorkerBuilder, task};
use tokio::sync::{Notify, RwLock};
use tokio::time::sleep;

use crate::support::{
    Log, count_effects, database, drain, effects, execute, leave_behind, one, states, task as find,
    until, while_working, worker,
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

    let log = Log::capture();
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
    assert!(log.has("lease lost; this attempt does not count"));
    assert!(!log.has("attempt failed"), "{}", log.text());
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
fn gated(pool: &PgPool) -> (Arc<RwLock<()>>, PgPool) {
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

/// Leaves the tasks that wait in a lease that has run out, as a worker does that is killed.
async fn vanish_with(pool: &PgPool, task_id: i64) {
    until("vanished with", async || {
        let moved: i64 = sqlx::query_scalar(
            "with batch as (delete from taskq.task where task_id = $1 returning *),
             lease as (
                 insert into taskq.lease (lease_id, worker_id, queue, expires_at, task_ids, task_types, payload_versions, payloads, priorities, run_ats, created_ats, max_attempts, attempts, crashes, errors)
                 select gen_random_uuid(), gen_random_uuid(), queue, now() - interval '1 second', array[task_id], array[task_type], array[payload_version], array[payload], array[priority], array[run_at], array[created_at], array[max_attempts], array[attempts], array[crashes], array[errors] from batch
             )
             select count(*) from batch",
        )
        .bind(task_id)
        .fetch_one(pool)
        .await
        .expect("left behind");
        moved == 1
    })
    .await;
}

#[tokio::test]
async fn a_task_that_keeps_killing_its_worker_is_quarantined() {
    let (_database, pool) = database().await;
    let task_id: i64 = one(
        &pool,
        "insert into taskq.task (task_type, payload, payload_version) values ('deadly', '{\"a\": 1}', 3) returning task_id",
    )
    .await;
    let log = Log::capture();
    while_working(brief_lease(&pool).only::<(Other,)>(), async {
        for crash in 1..=4 {
            vanish_with(&pool, task_id).await;
            until("rescued", async || {
                find(&pool, task_id)
                    .await
                    .is_some_and(|it| it.state == "waiting" && it.crashes == crash)
            })
            .await;
        }
        vanish_with(&pool, task_id).await;
        until("quarantined", async || {
            find(&pool, task_id)
                .await
                .is_some_and(|it| it.state == "quarantined")
        })
        .await;
    })
    .await;
    let row = find(&pool, task_id).await.expect("kept");
    assert_eq!((row.attempts, row.crashes), (0, 5));
    assert!(row.error().contains("vanished 5 times"), "{}", row.error());
    let errors = row.errors.as_ref().and_then(|errors| errors.as_array());
    let errors = errors.expect("each crash leaves one");
    assert_eq!(errors.len(), 5);
    for error in errors {
        let error = error["error"].as_str().expect("a text");
        assert!(error.contains("which claimed it at 20"), "{error}");
    }
    assert!(log.has("task quarantined"), "{}", log.text());
    assert_eq!(
        one::<i32>(&pool, "select payload_version::int from taskq.dead").await,
        3
    );
}

#[tokio::test]
async fn of_tasks_with_several_crashes_one_runs_at_a_time_and_the_others_are_not_held_up() {
    #[derive(Default)]
    struct Seen {
        suspects: AtomicUsize,
        most: AtomicUsize,
        ran: AtomicUsize,
    }

    #[task]
    async fn watched(seen: &Seen, suspect: bool) {
        if suspect {
            let now = seen.suspects.fetch_add(1, Ordering::SeqCst) + 1;
            seen.most.fetch_max(now, Ordering::SeqCst);
            sleep(Duration::from_millis(30)).await;
            seen.suspects.fetch_sub(1, Ordering::SeqCst);
        }
        seen.ran.fetch_add(1, Ordering::SeqCst);
    }

    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.task (task_type, payload, crashes)
         select 'watched', '{\"suspect\": true}'::jsonb, 2 + n % 3 from generate_series(1, 6) as n
         union all
         select 'watched', '{\"suspect\": false}'::jsonb, n % 2 from generate_series(1, 40) as n",
    )
    .await;
    let seen = Arc::new(Seen::default());
    let worker = worker(&pool).only::<(Watched,)>().state_arc(seen.clone());
    while_working(
        worker,
        until("all run", async || states(&pool).await.is_empty()),
    )
    .await;
    assert_eq!(seen.ran.load(Ordering::SeqCst), 46);
    assert_eq!(seen.most.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn tasks_prefetched_behind_a_slow_one_are_handed_back() {
    #[task]
    async fn uneven(release: &Notify, runs: &AtomicUsize, waits: bool) {
        runs.fetch_add(1, Ordering::SeqCst);
        if waits {
            release.notified().await;
        }
    }

    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.task (task_type, payload)
         select 'uneven', jsonb_build_object('waits', n > 3000) from generate_series(1, 3400) as n order by n",
    )
    .await;
    let (release, runs) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let worker = taskq::Worker::builder(pool.clone())
        .queue("default", 1)
        .only::<(Uneven,)>()
        .state_arc(release.clone())
        .state_arc(runs.clone());
    while_working(worker, async {
        // This worker still holds the task that waits, and nothing that it had prefetched.
        until("handed back", async || {
            let states = states(&pool).await;
            runs.load(Ordering::SeqCst) == 3_001
                && states.get("running") == Some(&1)
                && states.get("waiting") == Some(&399)
        })
        .await;
        let used: i64 = one(
            &pool,
            "select count(*) from taskq.task where attempts > 0 or crashes > 0",
        )
        .await;
        assert_eq!(used, 0);
        release.notify_one();
        until("the next", async || runs.load(Ordering::SeqCst) == 3_002).await;
        execute(&pool, "delete from taskq.task").await;
        release.notify_one();
    })
    .await;
}

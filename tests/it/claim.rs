//! Claiming: each task once, no more than there is room for, and no pause between claims.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use taskq::{Worker, task};
use tokio::time::sleep;

use crate::support::{
    LIMIT, database, drain, execute, one, states, task as find, until, while_working, worker,
};

#[derive(Default)]
struct Runs(Mutex<HashMap<i64, usize>>);

impl Runs {
    fn add(&self, n: i64) {
        *self.0.lock().expect("not poisoned").entry(n).or_default() += 1;
    }

    fn len(&self) -> usize {
        self.0.lock().expect("not poisoned").len()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_claimed_by_many_workers_run_once_each() {
    #[task]
    async fn counted(runs: &Runs, n: i64) {
        tokio::task::yield_now().await;
        runs.add(n);
    }

    let (_database, pool) = database().await;
    let mut connection = pool.acquire().await.expect("a connection");
    taskq::enqueue_many(&mut connection, (0..2_000).map(|n| Counted { n }))
        .await
        .expect("enqueued");
    drop(connection);
    let runs = std::sync::Arc::new(Runs::default());
    let working = || {
        let worker = worker(&pool).only::<(Counted,)>().state_arc(runs.clone());
        while_working(worker, until("all run", async || runs.len() == 2_000))
    };
    tokio::join!(working(), working(), working(), working());
    let runs = runs.0.lock().expect("not poisoned");
    assert_eq!(runs.len(), 2_000);
    assert!(runs.values().all(|count| *count == 1));
}

#[tokio::test]
async fn a_queue_runs_no_more_tasks_at_once_than_its_concurrency() {
    #[derive(Default)]
    struct Gauge {
        now: AtomicUsize,
        most: AtomicUsize,
    }

    #[task]
    async fn gauged(gauge: &Gauge) {
        let now = gauge.now.fetch_add(1, Ordering::SeqCst) + 1;
        gauge.most.fetch_max(now, Ordering::SeqCst);
        sleep(Duration::from_millis(20)).await;
        gauge.now.fetch_sub(1, Ordering::SeqCst);
    }

    let (_database, pool) = database().await;
    let mut connection = pool.acquire().await.expect("a connection");
    taskq::enqueue_many(&mut connection, (0..30).map(|_| Gauged {}))
        .await
        .expect("enqueued");
    let gauge = std::sync::Arc::new(Gauge::default());
    let worker = taskq::Worker::builder(pool.clone())
        .queue("default", 3)
        .only::<(Gauged,)>()
        .state_arc(gauge.clone());
    drain(worker, &pool).await;
    assert_eq!(gauge.most.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_worker_refills_as_handlers_finish_without_a_pause() {
    #[task]
    async fn brief() {}

    let (_database, pool) = database().await;
    let mut connection = pool.acquire().await.expect("a connection");
    taskq::enqueue_many(&mut connection, (0..300).map(|_| Brief {}))
        .await
        .expect("enqueued");
    // With a pause between claims of even a tenth of the poll interval, the three hundred claims
    // that one task at a time takes would need longer than the test may.
    let worker = taskq::Worker::builder(pool.clone())
        .queue("default", 1)
        .only::<(Brief,)>()
        .poll_interval(LIMIT)
        .listen(false);
    drain(worker, &pool).await;
}

#[tokio::test]
async fn a_row_that_somebody_has_locked_is_claimed_when_it_is_free() {
    #[task]
    async fn touched() {}

    let (_database, pool) = database().await;
    let mut tx = pool.begin().await.expect("a transaction");
    let task_id = Touched::enqueue(&mut tx).await.expect("enqueued").task_id;
    tx.commit().await.expect("committed");
    let mut tx = pool.begin().await.expect("a transaction");
    sqlx::query("update taskq.task set crashes = 0 where task_id = $1")
        .bind(task_id)
        .execute(&mut *tx)
        .await
        .expect("updated");
    while_working(worker(&pool).only::<(Touched,)>().listen(false), async {
        sleep(Duration::from_millis(50)).await;
        assert_eq!(
            find(&pool, task_id).await.map(|it| it.state).as_deref(),
            Some("waiting")
        );
        tx.commit().await.expect("committed");
        until("claimed", async || find(&pool, task_id).await.is_none()).await;
    })
    .await;
    assert!(states(&pool).await.is_empty());
}

#[tokio::test]
async fn ids_go_beyond_thirty_two_bits() {
    #[task]
    async fn far() -> Result<(), &'static str> {
        Err("no")
    }

    let (_database, pool) = database().await;
    crate::support::execute(
        &pool,
        "alter table taskq.task alter column task_id restart with 9007199254740993",
    )
    .await;
    let mut connection = pool.acquire().await.expect("a connection");
    let task_id = taskq::enqueue(&mut connection, Far {})
        .max_attempts(1)
        .await
        .expect("enqueued")
        .task_id;
    assert_eq!(task_id, 9_007_199_254_740_993);
    drain(worker(&pool).only::<(Far,)>(), &pool).await;
    let row = find(&pool, task_id).await.expect("kept as dead");
    assert_eq!(row.state, "discarded");
}

#[tokio::test]
async fn what_somebody_wrote_into_a_row_by_hand_does_not_hold_up_its_batch() {
    #[task]
    async fn sturdy(attempt: &taskq::Attempt, runs: &AtomicUsize) {
        assert!(attempt.previous_errors().is_empty());
        runs.fetch_add(1, Ordering::SeqCst);
    }

    let (_database, pool) = database().await;
    crate::support::execute(
        &pool,
        "insert into taskq.task (task_type, attempts, crashes, errors, run_at)
         values ('sturdy', 0, 0, '[\"what?\", {\"attempt\": -1}]', '0001-01-01 00:00+00'),
                ('sturdy', 2147483647, 2147483646, null, now()),
                ('sturdy', 0, 0, null, now())",
    )
    .await;
    let runs = std::sync::Arc::new(AtomicUsize::new(0));
    drain(
        worker(&pool).only::<(Sturdy,)>().state_arc(runs.clone()),
        &pool,
    )
    .await;
    assert_eq!(runs.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn workers_claim_from_ranges_of_their_own_and_leave_none_out() {
    #[task]
    async fn divided(runs: &Runs, n: i64) {
        runs.add(n);
    }

    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.task (task_type, payload) select 'divided', jsonb_build_object('n', n)
         from generate_series(1, 20000) as n",
    )
    .await;
    // They see each other from the first moment on.
    execute(
        &pool,
        "insert into taskq.worker (worker_id, host, process_id, queues, task_types, expires_at)
         values (gen_random_uuid(), '', 0, '{default}', '{divided}', now() + interval '1 hour')",
    )
    .await;
    let runs = std::sync::Arc::new(Runs::default());
    let worker = || {
        Worker::builder(pool.clone())
            .queue("default", 200)
            .only::<(Divided,)>()
            .state_arc(runs.clone())
    };
    while_working(
        worker(),
        while_working(
            worker(),
            until("all ran", async || {
                // As a worker does that reserves a range and vanishes.
                execute(
                    &pool,
                    "update taskq.frontier set task_id = task_id + (random() * 500)::bigint
                     where task_id < 19000",
                )
                .await;
                runs.len() == 20_000
            }),
        ),
    )
    .await;
    let frontiers: i64 = one(&pool, "select count(*) from taskq.frontier").await;
    assert_eq!(frontiers, 1, "ranges were reserved");
    let runs = runs.0.lock().expect("not poisoned");
    assert!(runs.values().all(|count| *count == 1));
}

#[tokio::test]
async fn a_connection_that_was_left_in_a_transaction_is_not_worked_in() {
    #[task]
    async fn worked_on() {}

    let (_database, pool) = database().await;
    let left = PgPoolOptions::new()
        .max_connections(6)
        .connect_with((*pool.connect_options()).clone())
        .await
        .expect("a pool");
    // As they are left by a `pool.begin()` that is dropped before its answer comes.
    let mut connections = Vec::new();
    for _ in 0..6 {
        let mut connection = left.acquire().await.expect("a connection");
        let begun = sqlx::raw_sql("begin").execute(&mut *connection).await;
        begun.expect("begun");
        connections.push(connection);
    }
    drop(connections);
    let mut connection = pool.acquire().await.expect("a connection");
    WorkedOn::enqueue(&mut connection).await.expect("enqueued");
    let seen_by_others = until("the task is completed", async || {
        states(&pool).await.is_empty()
    });
    while_working(worker(&left).only::<(WorkedOn,)>(), seen_by_others).await;
}

/// Enqueues one task and waits until it has run.
async fn run_one_more(pool: &sqlx::PgPool, count: &AtomicUsize) {
    let before = count.load(Ordering::SeqCst);
    execute(
        pool,
        "insert into taskq.task (task_type) values ('streamed')",
    )
    .await;
    until("run", async || count.load(Ordering::SeqCst) > before).await;
}

#[task]
async fn streamed(count: &AtomicUsize) {
    count.fetch_add(1, Ordering::SeqCst);
}

/// Begins a transaction beside which nothing that dies may be taken away, and lets many rows die.
async fn held_beside_dead_rows(pool: &sqlx::PgPool) -> sqlx::pool::PoolConnection<sqlx::Postgres> {
    let mut held = pool.acquire().await.expect("a connection");
    sqlx::raw_sql("begin; select txid_current()")
        .execute(&mut *held)
        .await
        .expect("a transaction is held");
    execute(
        pool,
        "insert into taskq.task (task_type, run_at)
         select 'streamed', now() - interval '1 hour' from generate_series(1, 100000);
         delete from taskq.task",
    )
    .await;
    held
}

#[tokio::test]
async fn a_stream_does_not_walk_over_what_died_beside_a_held_transaction() {
    let (_database, pool) = database().await;
    let _held = held_beside_dead_rows(&pool).await;
    let count = std::sync::Arc::new(AtomicUsize::new(0));
    let worker = worker(&pool).only::<(Streamed,)>().state_arc(count.clone());
    let read = "select idx_tup_read from pg_stat_user_indexes where indexrelname = 'task_lane'";
    while_working(worker, async {
        for _ in 0..20 {
            run_one_more(&pool, &count).await;
        }
        // Sessions tell what they read when they have been idle for a second.
        sleep(Duration::from_secs(2)).await;
        let before: i64 = one(&pool, read).await;
        for _ in 0..100 {
            run_one_more(&pool, &count).await;
        }
        sleep(Duration::from_secs(2)).await;
        let read = one::<i64>(&pool, read).await - before;
        // One scan in a hundred parts of the time may begin at the head.
        assert!(
            read < 100_000 * 20,
            "{read} entries of the index read for 100 tasks"
        );
    })
    .await;
}

#[tokio::test]
async fn what_commits_late_is_found_behind_the_marks_beside_a_held_transaction() {
    let (_database, pool) = database().await;
    let _held = held_beside_dead_rows(&pool).await;
    let count = std::sync::Arc::new(AtomicUsize::new(0));
    let worker = worker(&pool).only::<(Streamed,)>().state_arc(count.clone());
    while_working(worker, async {
        run_one_more(&pool, &count).await;
        let mut late = pool.begin().await.expect("a transaction");
        sqlx::query("select now()")
            .execute(&mut *late)
            .await
            .expect("begun");
        // The marks come to stand behind the beginning of that transaction.
        let began = tokio::time::Instant::now();
        while began.elapsed() < Duration::from_secs(3) {
            run_one_more(&pool, &count).await;
        }
        let before = count.load(Ordering::SeqCst);
        sqlx::query("insert into taskq.task (task_type) values ('streamed')")
            .execute(&mut *late)
            .await
            .expect("inserted");
        late.commit().await.expect("committed");
        until("the late task has run", async || {
            count.load(Ordering::SeqCst) > before
        })
        .await;
        // As from another system, or handed back.
        execute(
            &pool,
            "insert into taskq.task (task_type, run_at) values ('streamed', '2020-01-01 00:00+00')",
        )
        .await;
        until("the old task has run", async || {
            count.load(Ordering::SeqCst) > before + 1
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn one_claim_takes_tasks_of_many_priorities() {
    #[task]
    async fn ranked() {}

    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.task (task_type, priority)
         select 'ranked', n - 1500 from generate_series(1, 3000) as n",
    )
    .await;
    let worker = Worker::builder(pool.clone())
        .queue("default", 200)
        .only::<(Ranked,)>()
        .keep_completed(true);
    while_working(
        worker,
        until("all completed", async || {
            one::<i64>(&pool, "select count(*) from taskq.history").await == 3_000
        }),
    )
    .await;
    let claims: i64 = one(
        &pool,
        "select count(distinct claimed_at) from taskq.history",
    )
    .await;
    assert!(claims < 100, "{claims} claims for 3,000 tasks");
}

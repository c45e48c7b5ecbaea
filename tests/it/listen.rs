//! Waking up: by notification while it listens, by polling alone, and after the listener was cut off.
//!
//! The listener is found by what it said last: it reads what is paused.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Connection, PgConnection, PgPool};
use taskq::testing::Cluster;
use taskq::{Worker, WorkerBuilder, task};
use tokio::time::{Instant, sleep};

use crate::support::{LIMIT, Log, database, execute, one, states, until, while_working, worker};

#[task]
async fn heard(count: &AtomicUsize) {
    count.fetch_add(1, Ordering::SeqCst);
}

/// A worker whose polling cannot be what finds a task in time.
fn listener(pool: &PgPool, count: &Arc<AtomicUsize>) -> WorkerBuilder {
    worker(pool)
        .only::<(Heard,)>()
        .state_arc(count.clone())
        .poll_interval(LIMIT * 4)
}

/// Waits until the worker listens, and pauses for the poll interval.
async fn idle(pool: &PgPool) {
    until("listening", async || {
        one::<i64>(pool, "select count(*) from taskq.sleeper").await == 1
    })
    .await;
    sleep(Duration::from_secs(4)).await;
}

#[tokio::test]
async fn an_enqueue_wakes_an_idle_worker() {
    let (_database, pool) = database().await;
    let count = Arc::new(AtomicUsize::new(0));
    while_working(listener(&pool, &count), async {
        idle(&pool).await;
        let mut tx = pool.begin().await.expect("a transaction");
        Heard::enqueue(&mut tx).await.expect("enqueued");
        tx.commit().await.expect("committed");
        until("run", async || count.load(Ordering::SeqCst) == 1).await;
    })
    .await;
}

#[tokio::test]
async fn a_task_like_the_last_ones_is_claimed_before_a_scan() {
    let (_database, pool) = database().await;
    let count = Arc::new(AtomicUsize::new(0));
    while_working(listener(&pool, &count), async {
        for ran in 1..=2 {
            idle(&pool).await;
            execute(&pool, "insert into taskq.task (task_type) values ('heard')").await;
            until("run", async || count.load(Ordering::SeqCst) == ran).await;
        }
        idle(&pool).await;
        // A scan reads what is paused, and a claim does not.
        let mut tx = pool.begin().await.expect("a transaction");
        sqlx::query("lock table taskq.pause in access exclusive mode")
            .execute(&mut *tx)
            .await
            .expect("locked");
        execute(&pool, "insert into taskq.task (task_type) values ('heard')").await;
        until("run", async || count.load(Ordering::SeqCst) == 3).await;
        tx.rollback().await.expect("unlocked");
    })
    .await;
}

#[task]
async fn told(order: &Mutex<Vec<u32>>, n: u32) {
    order.lock().expect("nobody panicked").push(n);
}

/// Enqueues tasks with these numbers and priorities in one transaction.
async fn enqueue_told(pool: &PgPool, tasks: &[(u32, i16)]) {
    let mut tx = pool.begin().await.expect("a transaction");
    for (n, priority) in tasks {
        let enqueue = Told::enqueue(&mut tx, *n).priority(*priority);
        enqueue.await.expect("enqueued");
    }
    tx.commit().await.expect("committed");
}

#[tokio::test]
async fn no_more_than_one_task_starts_before_those_of_a_better_priority() {
    let (_database, pool) = database().await;
    let order: Arc<Mutex<Vec<u32>>> = Arc::default();
    let worker = Worker::builder(pool.clone())
        .queue("default", 1)
        .only::<(Told,)>()
        .state_arc(order.clone())
        .poll_interval(LIMIT * 4);
    let ran = || order.lock().expect("nobody panicked").len();
    while_working(worker, async {
        for n in 1..=2 {
            idle(&pool).await;
            enqueue_told(&pool, &[(n, 5)]).await;
            until("run", async || ran() == n as usize).await;
        }
        idle(&pool).await;
        enqueue_told(&pool, &[(3, 5), (4, 5), (5, 5), (0, 1)]).await;
        until("run", async || ran() == 6).await;
    })
    .await;
    let order = order.lock().expect("nobody panicked");
    assert_eq!(*order, [1, 2, 3, 0, 4, 5]);
}

#[tokio::test]
async fn a_bare_insert_wakes_an_idle_worker() {
    let (_database, pool) = database().await;
    let count = Arc::new(AtomicUsize::new(0));
    while_working(listener(&pool, &count), async {
        idle(&pool).await;
        execute(&pool, "insert into taskq.task (task_type) values ('heard')").await;
        until("run", async || count.load(Ordering::SeqCst) == 1).await;
    })
    .await;
}

#[tokio::test]
async fn an_enqueue_notifies_nobody_when_nobody_listens() {
    let (_database, pool) = database().await;
    let mut listener = sqlx::postgres::PgListener::connect_with(&pool)
        .await
        .expect("listening");
    listener.listen("taskq").await.expect("listening");
    execute(&pool, "insert into taskq.task (task_type) values ('heard')").await;
    execute(
        &pool,
        "insert into taskq.sleeper values ('other', gen_random_uuid(), now() + interval '1 hour')",
    )
    .await;
    execute(&pool, "insert into taskq.task (task_type) values ('heard')").await;
    execute(&pool, "insert into taskq.sleeper values ('default', gen_random_uuid(), now() - interval '1 second')").await;
    execute(&pool, "insert into taskq.task (task_type) values ('heard')").await;
    execute(&pool, "notify taskq, 'the end'").await;
    let first = listener.recv().await.expect("a notification");
    assert_eq!(first.payload(), "the end");
}

/// What an enqueue reads of whether anybody listens.
async fn is_anybody_said_to_listen(pool: &PgPool) -> bool {
    one::<i64>(pool, "select pg_sequence_last_value('taskq.sleeping')").await == 2
}

const COMES: &str =
    "insert into taskq.sleeper values ('default', gen_random_uuid(), now() + interval '1 hour')";
const GOES: &str =
    "delete from taskq.sleeper where ctid = any (array(select ctid from taskq.sleeper limit 1))";

#[tokio::test]
async fn an_enqueue_looks_for_listeners_only_while_somebody_may_listen() {
    let (_database, pool) = database().await;
    assert!(
        !is_anybody_said_to_listen(&pool).await,
        "after the migration"
    );
    for (act, expected) in [
        (COMES, true),
        (COMES, true),
        (GOES, true),
        (GOES, false),
        (GOES, false),
        (COMES, true),
    ] {
        execute(&pool, act).await;
        assert_eq!(is_anybody_said_to_listen(&pool).await, expected, "{act}");
    }
    // Nobody can tell by a snapshot that may be older than whoever came.
    execute(
        &pool,
        "begin isolation level repeatable read; delete from taskq.sleeper; commit",
    )
    .await;
    assert!(is_anybody_said_to_listen(&pool).await);
}

#[tokio::test]
async fn a_worker_that_registers_while_the_last_one_goes_is_woken() {
    for (first, second) in [(COMES, GOES), (GOES, COMES)] {
        let (_database, pool) = database().await;
        execute(&pool, COMES).await;
        let mut tx = pool.begin().await.expect("a transaction");
        sqlx::query(first).execute(&mut *tx).await.expect(first);
        let other = pool.clone();
        let waiting = tokio::spawn(async move { execute(&other, second).await });
        let waits = "select count(*) from pg_locks where not granted and locktype = 'advisory' \
                     and database = (select oid from pg_database where datname = current_database())";
        until("waiting", async || one::<i64>(&pool, waits).await == 1).await;
        // Who takes nobody away does not wait.
        execute(&pool, "delete from taskq.sleeper where false").await;
        tx.commit().await.expect("committed");
        waiting.await.expect("done");
        assert!(is_anybody_said_to_listen(&pool).await, "{first}, {second}");
    }
}

#[tokio::test]
async fn a_listener_that_vanished_does_not_cost_enqueues_for_ever() {
    let (_database, pool) = database().await;
    execute(&pool, "insert into taskq.sleeper values ('default', gen_random_uuid(), now() - interval '1 hour')").await;
    let count = Arc::new(AtomicUsize::new(0));
    while_working(listener(&pool, &count), async {
        let vanished = "select count(*) from taskq.sleeper where expires_at < now()";
        until("forgotten", async || one::<i64>(&pool, vanished).await == 0).await;
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_does_not_listen_finds_tasks_by_polling() {
    let (_database, pool) = database().await;
    let count = Arc::new(AtomicUsize::new(0));
    let worker = worker(&pool)
        .only::<(Heard,)>()
        .state_arc(count.clone())
        .listen(false)
        .poll_interval(Duration::from_millis(200));
    while_working(worker, async {
        // Past all pauses but the last.
        sleep(Duration::from_secs(1)).await;
        assert_eq!(
            one::<i64>(&pool, "select count(*) from taskq.sleeper").await,
            0
        );
        execute(&pool, "insert into taskq.task (task_type) values ('heard')").await;
        until("run", async || count.load(Ordering::SeqCst) == 1).await;
    })
    .await;
}

#[tokio::test]
async fn a_listener_that_was_cut_off_comes_back_and_scans_at_once() {
    let (_database, pool) = database().await;
    let count = Arc::new(AtomicUsize::new(0));
    while_working(listener(&pool, &count), async {
        idle(&pool).await;
        // The task comes while nobody listens: its notification is lost.
        execute(
            &pool,
            "begin;
             select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and query like '/* taskq pauses */%';
             delete from taskq.sleeper;
             insert into taskq.task (task_type) values ('heard');
             commit",
        )
        .await;
        until("run", async || count.load(Ordering::SeqCst) == 1).await;
        // And it listens again.
        idle(&pool).await;
        execute(&pool, "insert into taskq.task (task_type) values ('heard')").await;
        until("run", async || count.load(Ordering::SeqCst) == 2).await;
    })
    .await;
}

#[tokio::test]
async fn a_worker_survives_the_loss_of_all_its_connections() {
    let (_database, pool) = database().await;
    let count = Arc::new(AtomicUsize::new(0));
    while_working(listener(&pool, &count), async {
        idle(&pool).await;
        execute(
            &pool,
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()",
        )
        .await;
        for n in 1..=3 {
            until("enqueued", async || {
                sqlx::query("insert into taskq.task (task_type) values ('heard')").execute(&pool).await.is_ok()
            })
            .await;
            until("run", async || count.load(Ordering::SeqCst) == n).await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_operator_has_a_queue_scanned_now() {
    let (_database, pool) = database().await;
    let count = Arc::new(AtomicUsize::new(0));
    execute(
        &pool,
        "insert into taskq.task (task_type, run_at) values ('heard', now() + interval '1 day')",
    )
    .await;
    while_working(listener(&pool, &count), async {
        idle(&pool).await;
        // The trigger tells of inserts alone.
        execute(&pool, "update taskq.task set run_at = now()").await;
        execute(&pool, "select pg_notify('taskq.operator', 'scan other')").await;
        sleep(Duration::from_millis(300)).await;
        assert_eq!(count.load(Ordering::SeqCst), 0, "that is another queue");
        execute(&pool, "select pg_notify('taskq.operator', 'scan default')").await;
        until("run", async || count.load(Ordering::SeqCst) == 1).await;
    })
    .await;
}

/// A backend that stands still until this is dropped.
struct Frozen(Pid);

impl Frozen {
    fn new(backend: i32) -> Self {
        let backend = Pid::from_raw(backend).expect("a process");
        kill_process(backend, Signal::STOP).expect("stopped");
        Self(backend)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT);
    }
}

#[tokio::test]
async fn a_listener_that_the_network_has_swallowed_is_noticed() {
    let log = Log::capture();
    // A server of its own: while a backend stands still, nobody can drop a database.
    let cluster = Cluster::private().await.expect("a server");
    let pool = cluster.pool("postgres", 20).await.expect("a pool");
    taskq::migrate(&pool).await.expect("migrated");
    let count = Arc::new(AtomicUsize::new(0));
    let listeners = "select count(*) from pg_stat_activity where datname = current_database() and query like '/* taskq pauses */%'";
    while_working(listener(&pool, &count), async {
        idle(&pool).await;
        let backend = "select pid from pg_stat_activity where datname = current_database() and query like '/* taskq pauses */%'";
        // It is there, and answers nothing.
        let _frozen = Frozen::new(one(&pool, backend).await);
        until("noticed", async || log.has("did not answer")).await;
        until("listening again", async || one::<i64>(&pool, listeners).await == 2).await;
        sleep(Duration::from_secs(1)).await;
        execute(&pool, "insert into taskq.task (task_type) values ('heard')").await;
        until("run", async || count.load(Ordering::SeqCst) == 1).await;
    })
    .await;
}

#[tokio::test]
async fn a_worker_works_within_two_seconds_of_the_return_of_postgres() {
    let cluster = Cluster::private().await.expect("a server");
    let pool = cluster.pool("postgres", 20).await.expect("a pool");
    taskq::migrate(&pool).await.expect("migrated");
    let count = Arc::new(AtomicUsize::new(0));
    while_working(listener(&pool, &count), async {
        execute(&pool, "insert into taskq.task (task_type) values ('heard')").await;
        // A task whose outcome died with the server would run once more, as a third. The server
        // of tests writes its log late.
        until("recorded", async || states(&pool).await.is_empty()).await;
        execute(&pool, "checkpoint").await;
        cluster.kill().await.expect("killed");
        // The pool tries after ever longer pauses: the next would be two and a half seconds from here.
        sleep(Duration::from_millis(2_700)).await;
        cluster.restart().await.expect("restarted");
        let returned = Instant::now();
        let mut client = PgConnection::connect(&cluster.url("postgres"))
            .await
            .expect("a connection");
        sqlx::query("insert into taskq.task (task_type) values ('heard')")
            .execute(&mut client)
            .await
            .expect("enqueued");
        until("run", async || count.load(Ordering::SeqCst) == 2).await;
        let took = returned.elapsed();
        assert!(took < Duration::from_secs(2), "{took:?}");
    })
    .await;
}

//! Which workers there are, and how one of them is asked to stop.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sqlx::types::Uuid;
use sqlx::{AssertSqlSafe, PgPool, raw_sql};
use taskq::handler::StopNow;
use taskq::operate::WorkerStatus;
use taskq::{OperateError, Worker, task};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::support::{
    LIMIT, Log, database, effects, execute, one, states, until, while_working, worker,
};

#[task]
async fn endless(started: &AtomicUsize) {
    started.fetch_add(1, Ordering::SeqCst);
    std::future::pending::<()>().await;
}

async fn workers(pool: &PgPool) -> Vec<WorkerStatus> {
    taskq::operate(pool).workers().await.expect("told")
}

/// Waits until so many workers are there, and returns them.
async fn once_there(pool: &PgPool, number: usize) -> Vec<WorkerStatus> {
    until("there", async || workers(pool).await.len() == number).await;
    workers(pool).await
}

async fn ask(pool: &PgPool, worker_id: Uuid) {
    let operator = taskq::operate(pool).as_user("ada");
    let asked = operator.stop_worker(worker_id).because("its host").await;
    asked.expect("asked");
}

fn refusal<T: std::fmt::Debug>(answer: Result<T, OperateError>) -> String {
    match answer {
        Err(OperateError::Refused { message }) => message,
        other => panic!("not refused: {other:?}"),
    }
}

/// Runs a worker that runs one task, and has it asked to stop by what is given.
async fn stops(
    pool: &PgPool,
    build: impl FnOnce(taskq::WorkerBuilder) -> taskq::WorkerBuilder,
    ask: impl AsyncFnOnce(Uuid),
) -> Duration {
    let mut db = pool.acquire().await.expect("a connection");
    Endless::enqueue(&mut db).await.expect("enqueued");
    drop(db);
    let started = Arc::new(AtomicUsize::new(0));
    let worker = worker(pool)
        .only::<(Endless,)>()
        .state_arc(started.clone())
        .grace_period(Duration::ZERO);
    let worker = build(worker).build().await.expect("a worker");
    let worker_id = worker.id();
    let asking = async {
        until("started", async || started.load(Ordering::SeqCst) == 1).await;
        until("there", async || !workers(pool).await.is_empty()).await;
        ask(worker_id).await;
        Instant::now()
    };
    // Nothing else has it stop.
    let (asked, ended) = tokio::join!(asking, timeout(LIMIT, worker.run()));
    ended.expect("in time").expect("stopped in order");
    let took = asked.elapsed();
    assert_eq!(states(pool).await["waiting"], 1, "handed back");
    let untouched: i64 = one(
        pool,
        "select count(*) from taskq.task where attempts = 0 and crashes = 0 and errors is null",
    )
    .await;
    assert_eq!(untouched, 1);
    assert_eq!(workers(pool).await, [], "it has unregistered");
    took
}

#[tokio::test]
async fn workers_are_told_with_what_they_serve_and_hold() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    taskq::enqueue_many(&mut db, (0..3).map(|_| Endless {}))
        .await
        .expect("enqueued");
    drop(db);
    let started = Arc::new(AtomicUsize::new(0));
    let worker = Worker::builder(pool.clone())
        .queue("default", 4)
        .queue("mail", 3)
        .only::<(Endless,)>()
        .state_arc(started.clone())
        .release("1.4.2")
        .grace_period(Duration::ZERO);
    while_working(worker, async {
        until("started", async || started.load(Ordering::SeqCst) == 3).await;
        let found = once_there(&pool, 1).await;
        let it = &found[0];
        assert_eq!(it.release.as_deref(), Some("1.4.2"));
        assert_eq!(it.slots, Some(7));
        assert_eq!(
            (it.queues.as_slice(), it.task_types.as_slice()),
            (
                &["default".to_owned(), "mail".to_owned()][..],
                &["endless".to_owned()][..]
            )
        );
        assert_eq!(it.running, 3);
        assert!(it.leases > 0 && it.oldest_claimed_at.is_some());
        assert!(it.is_alive && it.stop_asked_at.is_none());
        assert_eq!(
            it.process_id,
            i32::try_from(std::process::id()).expect("small")
        );
        let json = serde_json::to_value(it).expect("json");
        assert_eq!(json["worker_id"], it.worker_id.to_string());
    })
    .await;
    execute(
        &pool,
        "insert into taskq.worker (worker_id, host, process_id, queues, task_types, slots, expires_at)
         values (gen_random_uuid(), 'gone', 7, '{default}', '{}', 1, now() - interval '1 minute')",
    )
    .await;
    let found = workers(&pool).await;
    assert_eq!(
        (found[0].host.as_str(), found[0].is_alive),
        ("gone", false),
        "it has vanished"
    );
}

#[tokio::test]
async fn a_release_without_a_name_is_refused() {
    let (_database, pool) = database().await;
    let worker = worker(&pool)
        .only::<(Endless,)>()
        .state(AtomicUsize::new(0))
        .release("")
        .build()
        .await;
    let error = worker.expect_err("refused").to_string();
    assert!(error.contains("release"), "{error}");
}

/// Its heartbeats are seven seconds apart.
#[tokio::test]
async fn a_worker_that_is_asked_to_stop_hands_back_and_ends_at_once() {
    let (_database, pool) = database().await;
    let log = Log::capture();
    let took = stops(&pool, |it| it, async |id| ask(&pool, id).await).await;
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(
        log.has("an operator has asked this worker to stop"),
        "{}",
        log.text()
    );
    let audit: (String, String, Option<String>, bool) =
        sqlx::query_as("select by, verb, reason, worker_id is not null from taskq.audit")
            .fetch_one(&pool)
            .await
            .expect("one row");
    let expected = ("ada".into(), "stop".into(), Some("its host".into()), true);
    assert_eq!(audit, expected);
}

#[tokio::test]
async fn a_worker_that_hears_nothing_stops_with_its_next_heartbeat() {
    let (_database, pool) = database().await;
    let deaf = |it: taskq::WorkerBuilder| it.listen(false).lease(Duration::from_secs(4));
    let took = stops(&pool, deaf, async |id| ask(&pool, id).await).await;
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn a_worker_whose_heartbeats_are_rare_hears_of_it_in_between() {
    let (_database, pool) = database().await;
    let deaf = |it: taskq::WorkerBuilder| it.listen(false).lease(Duration::from_secs(3_600));
    stops(&pool, deaf, async |id| ask(&pool, id).await).await;
}

#[tokio::test]
async fn a_worker_that_has_missed_the_message_stops_with_its_next_heartbeat() {
    let (_database, pool) = database().await;
    let quick = |it: taskq::WorkerBuilder| it.lease(Duration::from_secs(4));
    let unheard = async |_| {
        execute(
            &pool,
            "begin; set local session_replication_role = replica;
             do 'begin perform taskq.stop_worker(worker_id) from taskq.worker; end'; commit",
        )
        .await;
    };
    stops(&pool, quick, unheard).await;
}

#[tokio::test]
async fn only_the_worker_that_is_asked_stops() {
    let (_database, pool) = database().await;
    let build = async || {
        let worker = worker(&pool).only::<(Endless,)>();
        let worker = worker.state(AtomicUsize::new(0)).build().await;
        worker.expect("a worker")
    };
    let (one_of_two, other) = (build().await, build().await);
    let (asked, goes_on) = (one_of_two.id(), other.id());
    let (stop, stopped) = oneshot::channel::<()>();
    let test = async {
        once_there(&pool, 2).await;
        ask(&pool, asked).await;
        let rest = once_there(&pool, 1).await;
        assert_eq!(rest[0].worker_id, goes_on);
        assert_eq!(rest[0].stop_asked_at, None);
        drop(stop);
    };
    let run = other.run_until(async {
        stopped.await.ok();
    });
    let ((), first, second) = tokio::join!(test, one_of_two.run(), run);
    first.expect("stopped in order");
    second.expect("stopped in order");
}

/// The first signal says no more than the operator has said; the second is in a hurry.
#[tokio::test]
async fn a_second_signal_cuts_the_grace_period_short_that_an_operator_began() {
    struct Impatient(oneshot::Receiver<()>);
    impl StopNow for Impatient {
        async fn stop_now(self) {
            self.0.await.ok();
        }
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    Endless::enqueue(&mut db).await.expect("enqueued");
    drop(db);
    let started = Arc::new(AtomicUsize::new(0));
    let worker = worker(&pool)
        .only::<(Endless,)>()
        .state_arc(started.clone())
        .grace_period(Duration::from_secs(3600));
    let worker = worker.build().await.expect("a worker");
    let worker_id = worker.id();
    let ((first, stop), (second, now)) = (oneshot::channel::<()>(), oneshot::channel::<()>());
    let log = Log::capture();
    let test = async {
        until("started", async || started.load(Ordering::SeqCst) == 1).await;
        once_there(&pool, 1).await;
        ask(&pool, worker_id).await;
        until("stopping", async || log.has("asked this worker to stop")).await;
        drop(first);
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(workers(&pool).await.len(), 1, "it has an hour of grace");
        drop(second);
    };
    let run = worker.run_until(async move {
        stop.await.ok();
        Impatient(now)
    });
    let ((), ended) = tokio::join!(test, timeout(LIMIT, run));
    ended.expect("in time").expect("stopped in order");
    assert_eq!(states(&pool).await["waiting"], 1);
}

#[tokio::test]
async fn a_process_ends_with_success_when_its_worker_is_asked_to_stop() {
    let (database, pool) = database().await;
    effects(&pool).await;
    let mut process = Command::new(env!("CARGO_BIN_EXE_worker"))
        .env("DATABASE_URL", database.url())
        .env("GRACE_MS", "0")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the worker starts");
    let found = once_there(&pool, 1).await;
    assert_eq!(
        found[0].process_id,
        i32::try_from(process.id()).expect("small")
    );
    ask(&pool, found[0].worker_id).await;
    let mut status = None;
    until("ended", async || {
        status = process.try_wait().expect("a child");
        status.is_some()
    })
    .await;
    assert!(status.expect("ended").success(), "{status:?}");
}

#[tokio::test]
async fn who_cannot_be_asked_is_refused_and_to_ask_again_is_no_error() {
    let (_database, pool) = database().await;
    let operator = taskq::operate(&pool).as_user("ada");
    let nobody = operator.stop_worker(Uuid::nil()).await;
    assert_eq!(
        refusal(nobody),
        format!(
            "there is no worker {}: it has stopped, or never was",
            Uuid::nil()
        )
    );
    execute(
        &pool,
        "insert into taskq.worker (worker_id, host, process_id, queues, task_types, slots, expires_at)
         values ('00000000-0000-0000-0000-000000000001', 'here', 7, '{default}', '{}', 1, now() + interval '1 hour')",
    )
    .await;
    let id = Uuid::from_u128(1);
    let long = operator.stop_worker(id).because("x".repeat(20_000)).await;
    assert_eq!(refusal(long), "a reason has at most 10000 bytes");
    let first = operator.stop_worker(id).await.expect("asked");
    let again = operator.stop_worker(id).await.expect("asked already");
    assert_eq!(first, again);
    let audited: i64 = one(&pool, "select count(*) from taskq.audit").await;
    assert_eq!(audited, 1);
    assert_eq!(workers(&pool).await[0].stop_asked_at, Some(first));
}

/// A worker whose row says neither its slots nor its release.
#[tokio::test]
async fn an_older_worker_is_told_and_cannot_be_asked() {
    let (_database, pool) = database().await;
    let register = include_str!("../old/register.sql");
    let register = [
        ("$1", "'00000000-0000-0000-0000-000000000001'::uuid"),
        ("$2", "'there'"),
        ("$3", "7"),
        ("$4", "array['default']"),
        ("$5", "array['greet']"),
        ("$6", "30"),
    ]
    .iter()
    .fold(register.to_owned(), |text, (from, to)| {
        text.replace(from, to)
    });
    for heartbeat in 0..2 {
        let register = raw_sql(AssertSqlSafe(register.clone()));
        register.execute(&pool).await.expect("registered");
        let found = workers(&pool).await;
        assert_eq!(found.len(), 1, "{heartbeat}");
        assert!(found[0].is_alive);
        assert_eq!((found[0].slots, &found[0].release), (None, &None));
    }
    let asked = taskq::operate(&pool).stop_worker(Uuid::from_u128(1)).await;
    assert_eq!(
        refusal(asked),
        "worker 00000000-0000-0000-0000-000000000001 is of a version that cannot be asked: \
         send SIGTERM to process 7 on there"
    );
}

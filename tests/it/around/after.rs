//! What hooks are told of attempts, and what becomes of hooks that fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::PgConnection;
use sqlx::postgres::PgPoolOptions;
use taskq::error::BoxError;
use taskq::hooks::{BoxFuture, EndedAttempt, Wants};
use taskq::{AttemptOutcome, Hook, Worker, WorkerError, task};
use tokio::sync::{Barrier, Notify};

use super::Remembers;
use crate::support::{
    Log, database, drain, execute, states, task as find, until, while_working, worker,
};

#[task(max_attempts = 2)]
async fn charges(how: String, #[secret] card: String) -> Result<(), String> {
    match how.as_str() {
        "fail" => Err(format!("{card} is not accepted")),
        "panic" => panic!("out of paper"),
        _ => Ok(()),
    }
}

#[task]
async fn unwanted(tx: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("select 1").execute(tx).await.map(|_| ())
}

#[tokio::test]
async fn a_hook_gets_everything_that_a_report_needs_and_nothing_secret() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let task = Charges::enqueue(&mut db, "fail".into(), "4000-0000".into())
        .metadata("request_id", "7f3a")
        .metadata(
            "traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        );
    let task_id = task.await.expect("enqueued").task_id;
    Unwanted::enqueue(&mut db).await.expect("enqueued");
    let both = Wants::IN_TX | Wants::AFTER;
    let hook = Arc::new(Remembers::new("charges", both));
    let worker = worker(&pool)
        .only::<(Charges, Unwanted)>()
        .hook(hook.clone())
        .build()
        .await
        .expect("the worker starts");
    let worker_id = worker.id();
    let told = until("told", async || !hook.told().is_empty());
    worker.run_until(told).await.expect("it stops");

    let [attempt] = &hook.told()[..] else {
        panic!("{:?}", hook.told());
    };
    assert_eq!((attempt.task_id, attempt.worker_id), (task_id, worker_id));
    assert_eq!((attempt.task_type, &*attempt.queue), ("charges", "default"));
    assert_eq!((attempt.number, attempt.max_attempts), (1, 2));
    assert_eq!(attempt.error(), Some("*** is not accepted"));
    assert!(attempt.outcome.is_failure(), "{attempt:?}");
    assert!(attempt.payload().contains("***") && !attempt.payload().contains("4000"));
    assert_eq!(
        attempt.metadata("request_id").and_then(|it| it.as_str()),
        Some("7f3a")
    );
    assert!(
        attempt
            .trace_parent()
            .is_some_and(|it| it.starts_with("00-4bf9"))
    );
    assert!(attempt.ran.is_some() && attempt.waited.is_some());
    let row = find(&pool, task_id).await.expect("it waits");
    assert_eq!(row.attempts, 1);
    assert!(
        hook.in_tx.lock().expect("remembered").is_empty(),
        "it is retried"
    );
}

#[tokio::test]
async fn in_tx_comes_at_the_end_of_a_task_and_after_comes_after_every_attempt() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    for how in ["succeed", "fail", "panic"] {
        let task = Charges::enqueue(&mut db, how.into(), "4".into());
        task.await.expect("enqueued");
    }
    let hook = Arc::new(Remembers::new("charges", Wants::IN_TX | Wants::AFTER));
    let worker = worker(&pool).only::<(Charges,)>().hook(hook.clone());
    while_working(worker, async {
        until("retried", async || hook.told().len() >= 3).await;
        execute(&pool, "update taskq.task set run_at = now()").await;
        execute(&pool, "notify \"taskq.operator\", 'scan default'").await;
        until("dead", async || {
            states(&pool).await.get("discarded") == Some(&2)
        })
        .await;
    })
    .await;
    let mut after = Remembers::outcomes(&hook.after);
    after.sort();
    let expected = ["completed", "discarded", "discarded", "retry", "retry"];
    assert_eq!(after, expected.map(|it| format!("charges {it}")));
    let mut in_tx = Remembers::outcomes(&hook.in_tx);
    in_tx.sort();
    let expected = ["completed", "discarded", "discarded"];
    assert_eq!(in_tx, expected.map(|it| format!("charges {it}")));
}

/// Panics in each call.
#[derive(Default)]
struct Panics {
    calls: AtomicUsize,
}

impl Hook for Panics {
    fn name(&self) -> &str {
        "panics"
    }

    fn wants(&self, _: &str) -> Wants {
        Wants::AFTER
    }

    fn after<'a>(&'a self, _: &'a EndedAttempt) -> BoxFuture<'a, Result<(), BoxError>> {
        match self.calls.fetch_add(1, Ordering::SeqCst) % 2 {
            0 => panic!("out of ink"),
            _ => Box::pin(async { panic!("out of ink, later") }),
        }
    }
}

#[tokio::test]
async fn a_hook_that_panics_is_called_again_and_changes_nothing() {
    let log = Log::capture();
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    for _ in 0..4 {
        let task = Charges::enqueue(&mut db, "succeed".into(), "4".into());
        task.await.expect("enqueued");
    }
    let panics = Arc::new(Panics::default());
    let other = Arc::new(Remembers::new("charges", Wants::AFTER));
    let worker = worker(&pool).only::<(Charges,)>();
    let worker = worker.hook(panics.clone()).hook(other.clone());
    let worker = worker.build().await.expect("the worker starts");
    let health = worker.health();
    let metrics = worker.metrics();
    let mut page = String::new();
    let told = until("told", async || {
        page = metrics.text();
        panics.calls.load(Ordering::SeqCst) == 4 && other.told().len() == 4
    });
    worker.run_until(told).await.expect("it stops");
    assert!(states(&pool).await.is_empty(), "all have completed");
    let counts = health.hooks();
    assert_eq!((counts[0].name.as_str(), counts[0].panics), ("panics", 4));
    assert_eq!((counts[1].panics, counts[1].dropped), (0, 0));
    assert!(
        page.contains(r#"taskq_hook_failures_total{hook="panics",kind="panic"}"#),
        "{page}"
    );
    let said = log.text();
    assert_eq!(
        said.matches("a hook failed").count(),
        1,
        "once a minute: {said}"
    );
    assert!(
        said.contains("out of ink") && said.contains("hook=\"panics\""),
        "{said}"
    );
}

#[task]
async fn meets(barrier: &Barrier) {
    barrier.wait().await;
}

#[tokio::test]
async fn a_hook_that_panics_in_one_worker_is_no_trouble_of_another() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    for _ in 0..2 {
        Meets::enqueue(&mut db).await.expect("enqueued");
    }
    // Neither of the two ends before the other has begun, so each worker has one of them.
    let barrier = Arc::new(Barrier::new(2));
    let one = || {
        let worker = Worker::builder(pool.clone()).only::<(Meets,)>();
        worker.queue("default", 1).state_arc(barrier.clone())
    };
    let panics = Arc::new(Panics::default());
    let other = Arc::new(Remembers::new("meets", Wants::AFTER));
    let broken = one().hook(panics.clone()).build().await.expect("it starts");
    let sound = one().hook(other.clone()).build().await.expect("it starts");
    let (of_broken, of_sound) = (broken.health(), sound.health());
    let told = || {
        until("told", async || {
            panics.calls.load(Ordering::SeqCst) == 1 && other.told().len() == 1
        })
    };
    let ends = tokio::join!(broken.run_until(told()), sound.run_until(told()));
    ends.0.expect("it stops");
    ends.1.expect("it stops");
    assert!(states(&pool).await.is_empty(), "both have completed");
    assert_eq!(of_broken.hooks()[0].panics, 1);
    assert_eq!(of_sound.hooks()[0].panics, 0);
}

/// Waits in its first call.
struct Waits {
    release: Notify,
    calls: AtomicUsize,
}

impl Hook for Waits {
    fn wants(&self, _: &str) -> Wants {
        Wants::AFTER
    }

    fn after<'a>(&'a self, _: &'a EndedAttempt) -> BoxFuture<'a, Result<(), BoxError>> {
        Box::pin(async {
            if self.calls.fetch_add(1, Ordering::SeqCst) == 0 {
                self.release.notified().await;
            }
            Err("not told".into())
        })
    }
}

#[task]
async fn quick() {}

#[tokio::test]
async fn a_hook_that_takes_its_time_holds_up_no_outcome_and_what_is_too_much_is_counted() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let tasks = (0..10_500).map(|_| Quick {});
    taskq::enqueue_many(&mut db, tasks).await.expect("enqueued");
    let hook = Arc::new(Waits {
        release: Notify::new(),
        calls: AtomicUsize::new(0),
    });
    let worker = worker(&pool).only::<(Quick,)>().hook(hook.clone());
    let worker = worker.build().await.expect("the worker starts");
    let health = worker.health();
    let test = async {
        until("all completed", async || states(&pool).await.is_empty()).await;
        assert_eq!(hook.calls.load(Ordering::SeqCst), 1, "it waits still");
        hook.release.notify_one();
    };
    worker.run_until(test).await.expect("it stops");
    let [counts] = &health.hooks()[..] else {
        panic!("one hook");
    };
    // One was being told, and ten thousand waited.
    assert_eq!(counts.dropped, 499, "{counts:?}");
    assert_eq!(
        counts.failures, 10_001,
        "those that waited were told at the stop"
    );
}

/// Refuses the first attempt.
struct RefusesOnce(AtomicUsize);

impl Hook for RefusesOnce {
    fn name(&self) -> &str {
        "once"
    }

    fn wants(&self, _: &str) -> Wants {
        Wants::IN_TX
    }

    fn in_tx<'a>(
        &'a self,
        attempt: &'a EndedAttempt,
        tx: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        Box::pin(async move {
            let insert = sqlx::query("insert into effect values ($1)");
            insert.bind(attempt.task_id).execute(tx).await?;
            match self.0.fetch_add(1, Ordering::SeqCst) {
                0 => Err("not yet".into()),
                _ => Ok(()),
            }
        })
    }
}

#[tokio::test]
async fn a_refusal_is_the_failure_of_the_attempt_and_says_whose_it_is() {
    let (_database, pool) = database().await;
    crate::support::effects(&pool).await;
    let mut db = pool.acquire().await.expect("a connection");
    let task_id = Unwanted::enqueue(&mut db).await.expect("enqueued").task_id;
    let hook = RefusesOnce(AtomicUsize::new(0));
    let worker = worker(&pool).only::<(Unwanted,)>().hook(hook);
    while_working(worker, async {
        until("refused", async || {
            find(&pool, task_id)
                .await
                .is_some_and(|it| it.attempts == 1)
        })
        .await;
        let row = find(&pool, task_id).await.expect("it waits");
        assert_eq!(row.error(), "the hook `once` refused: not yet");
        assert_eq!(crate::support::count_effects(&pool).await, (0, 0));
        execute(&pool, "update taskq.task set run_at = now()").await;
        execute(&pool, "notify \"taskq.operator\", 'scan default'").await;
        until("completed", async || states(&pool).await.is_empty()).await;
    })
    .await;
    assert_eq!(crate::support::count_effects(&pool).await, (1, 1));
}

#[tokio::test]
async fn a_hook_that_cannot_say_what_it_wants_keeps_the_worker_from_starting() {
    struct Confused;
    impl Hook for Confused {
        fn name(&self) -> &str {
            "confused"
        }
        fn wants(&self, _: &str) -> Wants {
            panic!("who knows")
        }
    }

    let (_database, pool) = database().await;
    let started = worker(&pool).only::<(Quick,)>().hook(Confused).build();
    let error = started.await.expect_err("it cannot say");
    assert!(matches!(
        error,
        WorkerError::Setting {
            setting: "hook",
            ..
        }
    ));
    let text = error.to_string();
    assert!(
        text.starts_with("`hook` `confused` cannot say whether it wants `quick`: panicked"),
        "{text}"
    );
    let many = (0..33).fold(worker(&pool).only::<(Quick,)>(), |worker, _| {
        worker.hook(Panics::default())
    });
    let error = many.build().await.expect_err("too many");
    assert_eq!(
        error.to_string(),
        "`hook` was given 33 times; a worker has 32 hooks at most"
    );
}

#[tokio::test]
async fn a_hook_that_hangs_in_the_transaction_refuses_when_the_attempt_would_time_out() {
    struct Hangs;
    impl Hook for Hangs {
        fn name(&self) -> &str {
            "hangs"
        }
        fn wants(&self, _: &str) -> Wants {
            Wants::IN_TX
        }
        fn in_tx<'a>(
            &'a self,
            _: &'a EndedAttempt,
            tx: &'a mut PgConnection,
        ) -> BoxFuture<'a, Result<(), BoxError>> {
            Box::pin(async move {
                sqlx::query("select pg_sleep(60)").execute(tx).await?;
                Ok(())
            })
        }
    }
    #[task(timeout = "300ms")]
    async fn waits_for_hook() {}
    #[task(timeout = "300ms", max_attempts = 1)]
    async fn waits_for_hook_in_tx(_tx: &mut PgConnection) {}

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let plain = WaitsForHook::enqueue(&mut db)
        .await
        .expect("enqueued")
        .task_id;
    let in_tx = WaitsForHookInTx::enqueue(&mut db)
        .await
        .expect("enqueued")
        .task_id;
    let events = Arc::new(Remembers::new("waits", Wants::AFTER));
    let worker = worker(&pool)
        .only::<(WaitsForHook, WaitsForHookInTx)>()
        .hook(Hangs)
        .hook(events.clone());
    while_working(
        worker,
        until("both failed", async || events.told().len() == 2),
    )
    .await;
    let row = find(&pool, plain).await.expect("it waits");
    assert_eq!(row.attempts, 1);
    assert!(
        row.error().contains("the hook `hangs` refused: timed out"),
        "{}",
        row.error()
    );
    // The hook hangs again where the task is discarded, which is put off.
    let row = find(&pool, in_tx).await.expect("it waits");
    assert_eq!(row.state, "waiting");
    let told = events.told();
    let put_off = told.iter().find(|it| it.task_id == in_tx).expect("told");
    assert!(matches!(put_off.outcome, AttemptOutcome::Snoozed { delay } if delay > Duration::ZERO));
}

/// Takes its time in the transaction.
struct TakesItsTime;

impl Hook for TakesItsTime {
    fn wants(&self, _: &str) -> Wants {
        Wants::IN_TX
    }

    fn in_tx<'a>(
        &'a self,
        _: &'a EndedAttempt,
        _: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            Ok(())
        })
    }
}

#[tokio::test]
async fn hooks_wait_for_each_others_connections_and_no_handler_runs_again_for_that() {
    #[task]
    async fn runs_once(runs: &AtomicUsize) {
        runs.fetch_add(1, Ordering::SeqCst);
    }

    let (database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let tasks = (0..30).map(|_| RunsOnce {});
    taskq::enqueue_many(&mut db, tasks).await.expect("enqueued");
    // Six for the worker, and two for hooks, which thirty want: the last waits longer than the pool would let it.
    let few = PgPoolOptions::new()
        .max_connections(8)
        .acquire_timeout(Duration::from_millis(500))
        .connect(&database.url())
        .await
        .expect("a pool");
    let runs = Arc::new(AtomicUsize::new(0));
    let worker = worker(&few)
        .only::<(RunsOnce,)>()
        .state_arc(runs.clone())
        .hook(TakesItsTime);
    let done = until("done", async || states(&pool).await.is_empty());
    while_working(worker, done).await;
    assert_eq!(runs.load(Ordering::SeqCst), 30);
}

#[tokio::test]
async fn hooks_are_no_part_of_tasks_that_none_wants() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    Quick::enqueue(&mut db).await.expect("enqueued");
    let hook = Arc::new(Remembers::new("charges", Wants::IN_TX | Wants::AFTER));
    let worker = worker(&pool).only::<(Quick, Charges)>().hook(hook.clone());
    drain(worker, &pool).await;
    assert!(hook.told().is_empty() && hook.in_tx.lock().expect("remembered").is_empty());
}

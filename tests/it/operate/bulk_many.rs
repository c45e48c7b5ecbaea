//! Very many that match are cancelled, while workers claim them.
//!
//! `TASKQ_BULK_TASKS` says how many; a million take some minutes.

use std::env;
use std::sync::Mutex;
use std::time::Duration;

use sqlx::PgPool;
use taskq::operate::Bulk;
use taskq::task;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::support::{database, execute, one, states, until};

/// How many tasks are cancelled unless it is said.
const TASKS: u64 = 20_000;

/// How many workers run them meanwhile.
const WORKERS: usize = 2;

#[task]
async fn quick() {
    sleep(Duration::from_millis(10)).await;
}

/// Runs workers beside `test`, however long that takes.
async fn while_they_work<T>(pool: &PgPool, test: impl Future<Output = T>) -> T {
    let (stop, stopped) = watch::channel(());
    let mut running = Vec::new();
    for _ in 0..WORKERS {
        let worker = taskq::Worker::builder(pool.clone())
            .queue("default", 25)
            .only::<(Quick,)>()
            .keep_completed(true)
            .build()
            .await
            .expect("the worker starts");
        let mut stopped = stopped.clone();
        running.push(tokio::spawn(worker.run_until(async move {
            stopped.changed().await.ok();
        })));
    }
    let result = test.await;
    drop(stop);
    for worker in running {
        let ended = worker.await.expect("it does not panic");
        ended.expect("the worker stops in order");
    }
    result
}

#[tokio::test]
async fn of_very_many_that_are_cancelled_while_workers_claim_each_ends_once() {
    let tasks = env::var("TASKQ_BULK_TASKS").map_or(TASKS, |tasks| {
        tasks.parse().expect("TASKQ_BULK_TASKS is a number")
    });
    let (_database, pool) = database().await;
    sqlx::query(
        "insert into taskq.task (task_type) select 'quick' from generate_series(1, $1::bigint)",
    )
    .bind(i64::try_from(tasks).expect("not so many"))
    .execute(&pool)
    .await
    .expect("enqueued");
    // The cancel of some is refused that are due later.
    execute(
        &pool,
        "update taskq.task set run_at = now() + interval '1 hour' where task_id % 5000 = 4999;
         create function public.refuse() returns trigger language plpgsql as
             $$ begin raise exception 'not %', new.task_id; end $$;
         create trigger refuse before insert on taskq.dead
         for each row when (new.task_id % 5000 = 4999) execute function public.refuse()",
    )
    .await;
    let operator = taskq::operate(&pool).as_user("ada");
    let filter = "type:quick".parse().expect("a filter");
    let began = Instant::now();
    let frozen = operator.cancel_all(&filter).await.expect("frozen");
    let freezing = began.elapsed();
    assert_eq!((frozen.frozen, frozen.began_at), (tasks, None));
    // What comes later is not of it.
    execute(
        &pool,
        "insert into taskq.task (task_type) select 'quick' from generate_series(1, 5)",
    )
    .await;
    let shown: Mutex<Vec<Bulk>> = Mutex::default();
    let (ended, working) = while_they_work(&pool, async {
        until("some have completed", async || {
            one::<bool>(&pool, "select exists (select from taskq.history)").await
        })
        .await;
        let began = Instant::now();
        let progress = |bulk: &Bulk| shown.lock().expect("unpoisoned").push(bulk.clone());
        let ended = operator.run_bulk(frozen.bulk_id, progress).await;
        let working = began.elapsed();
        // What was refused runs once it is due, and so does what came later.
        execute(&pool, "update taskq.task set run_at = now()").await;
        until("nothing is left", async || {
            one::<bool>(
                &pool,
                "select not exists (select from taskq.task) and not exists (select from taskq.lease)",
            )
            .await
        })
        .await;
        (ended.expect("it runs"), working)
    })
    .await;
    let shown = shown.into_inner().expect("unpoisoned");
    eprintln!(
        "{ended}; frozen in {freezing:?}, ended in {working:?} by {} steps",
        shown.len()
    );

    assert_eq!(ended.done + ended.skipped + ended.failed, ended.frozen);
    assert!(
        ended.done > 0 && ended.skipped > 0 && ended.failed > 0,
        "{ended}"
    );
    // Its progress is seen, and goes forward.
    let gone: Vec<u64> = shown.iter().map(|bulk| bulk.frozen - bulk.left()).collect();
    assert!(gone.is_sorted(), "{gone:?}");
    assert!(
        gone.iter().any(|gone| (1..tasks).contains(gone)),
        "{gone:?}"
    );
    assert!(shown.iter().all(|bulk| bulk.frozen == tasks));
    // Each task has ended once: as it was counted, and nowhere else.
    let states = states(&pool).await;
    let of = |state: &str| {
        states
            .get(state)
            .copied()
            .unwrap_or_default()
            .unsigned_abs()
    };
    assert_eq!(of("cancelled"), ended.done, "{states:?}");
    assert_eq!(
        of("completed"),
        ended.skipped + ended.failed + 5,
        "{states:?}"
    );
    assert_eq!(states.len(), 2, "{states:?}");
    let twice: i64 = one(
        &pool,
        "select count(*) - count(distinct task_id) from taskq.tasks",
    )
    .await;
    assert_eq!(twice, 0);
    let failures = operator.bulk_failures(frozen.bulk_id).await.expect("told");
    assert_eq!(failures.len() as u64, ended.failed.min(1_000));
    let failure = &failures[0];
    assert_eq!(failure.error, format!("not {}", failure.task_id));
}

//! How long lines stay: for as long as their task, and each attempt's apart.

use std::time::Duration;

use sqlx::PgPool;
use taskq::{Attempt, LogLayer, WorkerBuilder, task};
use tokio::time::sleep;
use tracing::Instrument;

use super::{keep, logs, messages, told_to_go};
use crate::support::{database, drain, execute, one, states, until, while_working, worker};

#[task(max_attempts = 4, timeout = "300ms", retry = "fixed(1ms)")]
async fn ends(attempt: &Attempt, how: String) -> anyhow::Result<()> {
    tracing::info!("{how} {}", attempt.number());
    match how.as_str() {
        "fail, then complete" if attempt.number() == 1 => anyhow::bail!("no luck"),
        "each way" => match attempt.number() {
            1 => anyhow::bail!("no luck"),
            2 => panic!("out of paper"),
            3 => std::future::pending().await,
            _ => Err(taskq::outcome::discard("too late").into()),
        },
        "cancel" => Err(taskq::outcome::cancel("not wanted").into()),
        _ => Ok(()),
    }
}

fn all(pool: &PgPool) -> WorkerBuilder {
    worker(pool).only::<(Ends,)>()
}

/// Has each second attempt wait for an hour.
const LATER: &str = "create function later() returns trigger language plpgsql as
         $$ begin if new.attempts > 0 then new.run_at := now() + interval '1 hour'; end if; return new; end $$;
     create trigger later before insert on taskq.task for each row execute function later()";

/// … and then start.
const NOW: &str = "drop trigger later on taskq.task; update taskq.task set run_at = now()";

async fn standing(pool: &PgPool) -> (i64, i64) {
    sqlx::query_as(
        "select (select count(*) from taskq.attempt_log), (select count(*) from taskq.log_chunk)",
    )
    .fetch_one(pool)
    .await
    .expect("counted")
}

#[tokio::test]
async fn each_attempt_has_its_own_lines_however_it_ends() {
    let (_database, pool) = database().await;
    let _guard = keep(LogLayer::new());
    let mut db = pool.acquire().await.expect("a connection");
    let task = Ends::enqueue(&mut db, "each way".into())
        .await
        .expect("enqueued");
    let cancelled = Ends::enqueue(&mut db, "cancel".into())
        .await
        .expect("enqueued");
    drain(all(&pool), &pool).await;
    let all = logs(&pool, task.task_id).await;
    let each: Vec<_> = all.iter().map(|log| (log.attempt, messages(log))).collect();
    let expected: Vec<_> = (1..=4).map(|n| (n, format!("each way {n}"))).collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|(n, line)| (*n, vec![line.as_str()]))
        .collect();
    assert_eq!(each, expected);
    let of_cancelled = logs(&pool, cancelled.task_id).await;
    assert_eq!(messages(&of_cancelled[0]), ["cancel 1"]);
}

#[tokio::test]
async fn lines_of_a_task_that_completes_and_is_not_kept_are_not_even_written() {
    let (_database, pool) = database().await;
    let _guard = keep(LogLayer::new());
    execute(
        &pool,
        "create table written ();
         create function written() returns trigger language plpgsql as
             $$ begin insert into written default values; return null; end $$;
         create trigger written after insert on taskq.attempt_log
             for each statement execute function written()",
    )
    .await;
    let mut db = pool.acquire().await.expect("a connection");
    for _ in 0..20 {
        Ends::enqueue(&mut db, "complete".into())
            .await
            .expect("enqueued");
    }
    drain(all(&pool), &pool).await;
    assert_eq!(standing(&pool).await, (0, 0));
    // A round of the writer may have come between a line and the end of its attempt, and not more than that.
    let written: i64 = one(&pool, "select count(*) from written").await;
    assert!(written <= 2, "{written}");
}

#[tokio::test]
async fn lines_of_a_kept_task_stay_with_the_history() {
    let (_database, pool) = database().await;
    let _guard = keep(LogLayer::new());
    let mut db = pool.acquire().await.expect("a connection");
    let task = Ends::enqueue(&mut db, "fail, then complete".into())
        .await
        .expect("enqueued");
    drain(all(&pool).keep_completed(true), &pool).await;
    assert_eq!(states(&pool).await["completed"], 1);
    let kept = logs(&pool, task.task_id).await;
    let lines: Vec<_> = kept.iter().flat_map(messages).collect();
    assert_eq!(lines, ["fail, then complete 1", "fail, then complete 2"]);
}

#[task(max_attempts = 3, retry = "fixed(1ms)")]
async fn waits(attempt: &Attempt, pool: &PgPool) -> Result<(), String> {
    tracing::info!("attempt {}", attempt.number());
    if attempt.number() == 1 {
        return Err("no luck".into());
    }
    told_to_go(pool).await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn what_two_workers_wrote_goes_when_the_task_completes_and_is_not_kept() {
    let (_database, pool) = database().await;
    let _guard = keep(LogLayer::new());
    let mut db = pool.acquire().await.expect("a connection");
    let task = Waits::enqueue(&mut db).await.expect("enqueued");
    let one_worker = || worker(&pool).state(pool.clone()).only::<(Waits,)>();
    // The second attempt is by another worker.
    execute(&pool, LATER).await;
    while_working(one_worker(), async {
        until("failed once", async || {
            !logs(&pool, task.task_id).await.is_empty()
        })
        .await;
    })
    .await;
    execute(&pool, NOW).await;
    while_working(one_worker(), async {
        until("both", async || logs(&pool, task.task_id).await.len() == 2).await;
        let both = logs(&pool, task.task_id).await;
        assert_ne!(both[0].worker_id, both[1].worker_id);
        let lines: Vec<_> = both.iter().flat_map(messages).collect();
        assert_eq!(lines, ["attempt 1", "attempt 2"]);
        execute(&pool, "create table go ()").await;
        until("gone", async || standing(&pool).await == (0, 0)).await;
    })
    .await;
    assert!(states(&pool).await.is_empty());
}

#[tokio::test]
async fn lines_of_earlier_attempts_go_with_a_task_whose_last_one_writes_none() {
    let (_database, pool) = database().await;
    let _guard = keep(LogLayer::new());
    let mut db = pool.acquire().await.expect("a connection");
    let task = Ends::enqueue(&mut db, "fail, then complete".into()).await;
    let task_id = task.expect("enqueued").task_id;
    execute(&pool, LATER).await;
    while_working(all(&pool), async {
        until("failed once", async || {
            !logs(&pool, task_id).await.is_empty()
        })
        .await;
    })
    .await;
    execute(&pool, NOW).await;
    drain(all(&pool), &pool).await;
    assert!(states(&pool).await.is_empty());
    assert_eq!(standing(&pool).await, (0, 0));
}

#[task(max_attempts = 1)]
async fn leaves_somebody(pool: &PgPool) -> Result<(), String> {
    let pool = pool.clone();
    let logs_on = async move {
        let gone = "select to_regclass('go') is not null";
        while let Ok(false) = sqlx::query_scalar(gone).fetch_one(&pool).await {
            tracing::info!("on and on");
            sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::spawn(logs_on.in_current_span());
    sleep(Duration::from_millis(100)).await;
    Err("no luck".into())
}

#[tokio::test]
async fn who_logs_on_after_the_attempt_has_ended_logs_nothing_for_it() {
    let (_database, pool) = database().await;
    let _guard = keep(LogLayer::new());
    let mut db = pool.acquire().await.expect("a connection");
    let task = LeavesSomebody::enqueue(&mut db).await.expect("enqueued");
    let worker = worker(&pool)
        .state(pool.clone())
        .only::<(LeavesSomebody,)>();
    while_working(worker, async {
        until("dead", async || {
            states(&pool).await.contains_key("discarded")
        })
        .await;
        sleep(Duration::from_millis(2_500)).await;
    })
    .await;
    execute(&pool, "create table go ()").await;
    let log = logs(&pool, task.task_id).await.remove(0);
    assert!((1..15).contains(&log.kept), "{}", log.kept);
}

#[tokio::test]
async fn lines_of_tasks_that_are_nowhere_are_deleted_and_no_others() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.task (task_type) select 'a' from generate_series(1, 2);
         insert into taskq.attempt_log
         select n, md5(n::text)::uuid, 1, gen_random_uuid(), now() - make_interval(mins => 2 * (n < 9)::int), 1, 500
         from generate_series(1, 10) as n;
         -- Task 2, that is there, and task 8 were called together.
         insert into taskq.attempt_log values (8, md5('2')::uuid, 1, gen_random_uuid(), now() - interval '2 minutes', 2, 500);
         insert into taskq.log_chunk
         select md5(n::text)::uuid, 0, now() - make_interval(mins => 2 * (n < 9 or n = 11)::int), 1, 1, '[]'
         from generate_series(1, 12) as n",
    )
    .await;
    let step =
        "select last_task from taskq.prune_log(4, 'ffffffff-ffff-ffff-ffff-ffffffffffff', 2)";
    assert_eq!(one::<Option<i64>>(&pool, step).await, Some(6));
    let left = "select array_agg(task_id order by task_id) from taskq.attempt_log";
    assert_eq!(
        one::<Vec<i64>>(&pool, left).await,
        [1, 2, 3, 4, 7, 8, 8, 9, 10]
    );
    let all =
        "select last_task from taskq.prune_log(0, '00000000-0000-0000-0000-000000000000', 100)";
    assert_eq!(one::<Option<i64>>(&pool, all).await, Some(10));
    // What is young may be about a task that somebody moves just now.
    assert_eq!(one::<Vec<i64>>(&pool, left).await, [1, 2, 9, 10]);
    let end =
        "select last_task from taskq.prune_log(10, 'ffffffff-ffff-ffff-ffff-ffffffffffff', 100)";
    assert_eq!(one::<Option<i64>>(&pool, end).await, None);
    let chunks = "select array_agg(n::bigint order by n) from taskq.log_chunk join generate_series(1, 12) as n on log_id = md5(n::text)::uuid";
    assert_eq!(one::<Vec<i64>>(&pool, chunks).await, [1, 2, 9, 10, 12]);
}

/// Wherever a task is, it keeps the lines that it has.
#[tokio::test]
async fn lines_of_tasks_that_wait_run_or_have_ended_stay() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.task (task_type) values ('waits'), ('rests');
         insert into taskq.dead (
             task_id, task_type, payload, queue, priority, created_at, attempts, crashes, state, finished_at
         ) values (101, 'x', '{}', 'default', 0, now(), 1, 0, 'discarded', now());
         insert into taskq.history (
             task_id, task_type, payload, queue, priority, created_at, attempts, claimed_at, finished_at
         ) values (102, 'x', '{}', 'default', 0, now(), 1, now(), now());
         insert into taskq.refused (task_id, task_type) values (103, 'x')",
    )
    .await;
    let worker = worker(&pool).state(pool.clone()).only::<(LogsNothing,)>();
    while_working(worker, async {
        execute(
            &pool,
            "insert into taskq.task (task_type) values ('logs_nothing')",
        )
        .await;
        until("it runs", async || {
            states(&pool).await.contains_key("running")
        })
        .await;
        // Task 104 is nowhere.
        execute(
            &pool,
            "insert into taskq.attempt_log
             select task_id, md5(task_id::text)::uuid, 1, gen_random_uuid(), now() - interval '2 minutes', 1, 500
             from (select task_id from taskq.tasks union all select 104) as one;
             insert into taskq.log_chunk
             select log_id, 0, begun_at, 1, 1, '[]' from taskq.attempt_log;
             select taskq.prune_log(0, '00000000-0000-0000-0000-000000000000', 100);
             select taskq.prune_log(1000000, '00000000-0000-0000-0000-000000000000', 100)",
        )
        .await;
        let missing = "select array_agg(task_id) from taskq.tasks
             where task_id not in (select task_id from taskq.attempt_log join taskq.log_chunk using (log_id))";
        assert_eq!(one::<Option<Vec<i64>>>(&pool, missing).await, None);
        assert_eq!(standing(&pool).await, (6, 6));
        execute(&pool, "create table go ()").await;
    })
    .await;
}

#[task]
async fn logs_nothing(pool: &PgPool) -> sqlx::Result<()> {
    told_to_go(pool).await
}

//! However much a handler logs: the newest lines are kept, what is dropped is counted, and writing goes on as before.

use std::fmt;
use std::time::{Duration, Instant};

use sqlx::PgPool;
use taskq::{LogLayer, WorkerBuilder, task};
use tokio::time::sleep;

use super::{keep, logs, messages};
use crate::support::{database, drain, execute, one, worker};

/// Works for as long as that takes: a slow machine may need a minute for a million lines.
async fn until_one_is_dead(worker: WorkerBuilder, pool: &PgPool) {
    let worker = worker.build().await.expect("built");
    let run = worker.run_until(async {
        let began = Instant::now();
        while one::<i64>(pool, "select count(*) from taskq.dead").await == 0 {
            assert!(began.elapsed() < Duration::from_secs(240));
            sleep(Duration::from_millis(50)).await;
        }
    });
    run.await.expect("it ends");
}

#[task(max_attempts = 1)]
async fn logs_a_million(lines: u64) -> Result<(), String> {
    for n in 0..lines {
        tracing::info!(n, "line");
        if n % 1_000 == 0 {
            tokio::task::yield_now().await;
        }
    }
    Err("no luck".into())
}

#[tokio::test]
async fn of_a_million_lines_the_newest_are_kept_and_the_others_are_counted() {
    let (_database, pool) = database().await;
    let _guard = keep(LogLayer::new());
    execute(
        &pool,
        "create table written (bytes bigint);
         create function written() returns trigger language plpgsql as
             $$ begin insert into written select sum(octet_length(lines::text)) from added; return null; end $$;
         create trigger written after insert on taskq.log_chunk referencing new table as added
             for each statement execute function written()",
    )
    .await;
    let mut db = pool.acquire().await.expect("a connection");
    let task = LogsAMillion::enqueue(&mut db, 1_000_000)
        .await
        .expect("enqueued");
    let worker = worker(&pool).only::<(LogsAMillion,)>();
    until_one_is_dead(worker, &pool).await;
    let log = logs(&pool, task.task_id).await.remove(0);
    assert_eq!((log.kept, log.dropped), (500, 999_500));
    let numbers: Vec<_> = log
        .lines
        .iter()
        .map(|line| line.fields["n"].as_u64())
        .collect();
    let newest: Vec<_> = (999_500..1_000_000).map(Some).collect();
    assert_eq!(numbers, newest);
    let (statements, bytes): (i64, i64) =
        sqlx::query_as("select count(*), sum(bytes)::bigint from written")
            .fetch_one(&pool)
            .await
            .expect("counted");
    // One a second at the most, and ever more seldom.
    assert!(
        statements <= 12 && bytes < 1_500_000,
        "{statements} with {bytes}"
    );
    let standing: i64 = one(&pool, "select sum(line_count) from taskq.log_chunk").await;
    assert!(standing <= 1_000, "{standing}");
}

#[task(max_attempts = 1)]
async fn logs_on_and_on(rounds: u32) -> Result<(), String> {
    for n in 0..rounds * 4 {
        tracing::info!(n, "line {}", "x".repeat(500));
        if n % 4 == 3 {
            sleep(Duration::from_millis(1_100)).await;
        }
    }
    Err("no luck".into())
}

#[tokio::test]
async fn what_is_written_bit_by_bit_is_bounded_by_lines_and_by_bytes() {
    for (layer, kept, most) in [
        (LogLayer::new().most_lines(6), 6, 12),
        (LogLayer::new().most_bytes(2_000), 0, 8),
    ] {
        let (_database, pool) = database().await;
        let _guard = keep(layer);
        let mut db = pool.acquire().await.expect("a connection");
        let task = LogsOnAndOn::enqueue(&mut db, 5).await.expect("enqueued");
        drain(worker(&pool).only::<(LogsOnAndOn,)>(), &pool).await;
        let log = logs(&pool, task.task_id).await.remove(0);
        if kept > 0 {
            assert_eq!(log.kept, kept);
        }
        assert_eq!(log.kept + log.dropped, 20);
        let numbers: Vec<_> = log
            .lines
            .iter()
            .filter_map(|line| line.fields["n"].as_i64())
            .collect();
        let newest: Vec<_> = (20 - log.kept..20).collect();
        assert_eq!(numbers, newest);
        let standing: i64 = one(&pool, "select sum(line_count) from taskq.log_chunk").await;
        assert!(log.kept <= standing && standing <= most, "{standing}");
    }
}

/// Never comes to an end.
struct Endless;

impl fmt::Display for Endless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        loop {
            f.write_str("ä…\0")?;
        }
    }
}

#[task(max_attempts = 1)]
async fn logs_oddly() -> Result<(), String> {
    tracing::info!(
        big = u64::MAX,
        bigger = u128::MAX,
        nan = f64::NAN,
        bytes = ?b"\xff\0",
        escape = "\x1b[31mred\nnext",
        "nul \0 and quotes \" ' \\ and {{}}"
    );
    tracing::info!(after = "too late", "{}", Endless);
    tracing::info!(only = 1);
    Err("no luck".into())
}

#[tokio::test]
async fn odd_texts_are_kept_as_far_as_postgres_can_and_long_ones_are_cut() {
    let (_database, pool) = database().await;
    let _guard = keep(LogLayer::new().most_of_line(1_000));
    let mut db = pool.acquire().await.expect("a connection");
    let task = LogsOddly::enqueue(&mut db).await.expect("enqueued");
    drain(worker(&pool).only::<(LogsOddly,)>(), &pool).await;
    let log = logs(&pool, task.task_id).await.remove(0);
    let [odd, long, only] = &log.lines[..] else {
        panic!("{log:?}");
    };
    assert_eq!(odd.message, "nul \u{fffd} and quotes \" ' \\ and {}");
    assert_eq!(odd.fields["big"].as_u64(), Some(u64::MAX));
    assert_eq!(odd.fields["bigger"], u128::MAX.to_string());
    assert_eq!(odd.fields["nan"], "NaN");
    assert_eq!(odd.fields["bytes"], "[255, 0]");
    assert_eq!(odd.fields["escape"], "\x1b[31mred\nnext");
    assert!(long.message.starts_with("ä…\u{fffd}ä"));
    assert!(
        (900..1_700).contains(&long.message.len()),
        "{}",
        long.message.len()
    );
    assert!(long.message.ends_with('…'));
    assert_eq!(long.fields["after"], "…");
    assert_eq!(
        (only.message.as_str(), only.fields["only"].as_i64()),
        ("", Some(1))
    );
}

#[task(max_attempts = 1)]
async fn snoozes(attempt: &taskq::Attempt, pool: &PgPool) -> Result<(), taskq::error::BoxError> {
    let runs: i64 = sqlx::query_scalar("insert into ran default values returning n")
        .fetch_one(pool)
        .await?;
    tracing::info!("run {runs}");
    match runs {
        ..25 => Err(taskq::outcome::snooze(Duration::ZERO).into()),
        _ => Err(format!("enough of attempt {}", attempt.number()).into()),
    }
}

#[tokio::test]
async fn of_a_task_the_newest_twenty_runs_are_kept() {
    let (_database, pool) = database().await;
    let _guard = keep(LogLayer::new());
    execute(
        &pool,
        "create table ran (n bigint generated always as identity)",
    )
    .await;
    let mut db = pool.acquire().await.expect("a connection");
    let task = Snoozes::enqueue(&mut db).await.expect("enqueued");
    let worker = worker(&pool).state(pool.clone()).only::<(Snoozes,)>();
    // Each is written by itself.
    execute(
        &pool,
        "create function slowly() returns trigger language plpgsql as
             $$ begin if new.task_type = 'snoozes' then new.run_at := now() + interval '1.05 s'; end if; return new; end $$;
         create trigger slowly before insert on taskq.task for each row execute function slowly()",
    )
    .await;
    until_one_is_dead(worker, &pool).await;
    let logs = logs(&pool, task.task_id).await;
    let all: Vec<_> = logs.iter().flat_map(messages).collect();
    let newest: Vec<_> = (6..=25).map(|run| format!("run {run}")).collect();
    assert_eq!(all, newest);
    let standing = "select (select count(*) from taskq.attempt_log) = 20 and (select count(*) from taskq.log_chunk) = 20";
    assert!(one::<bool>(&pool, standing).await);
}

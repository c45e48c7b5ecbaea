//! What workers count by the minute.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection, PgPool, raw_sql};
use taskq::error::BoxError;
use taskq::operate::{Minute, Spread};
use taskq::{outcome, task};
use tokio::time::sleep;

use crate::support::{Log, database, drain, execute, one, until, while_working, worker};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[task]
async fn sleepy(sleeps_ms: u64) {
    sleep(Duration::from_millis(sleeps_ms)).await;
}

#[task]
async fn in_a_transaction(tx: &mut PgConnection, fails: bool) -> Result<(), BoxError> {
    sqlx::query("select pg_sleep(0.02)").execute(tx).await?;
    match fails {
        true => Err("no".into()),
        false => Ok(()),
    }
}

#[task(max_attempts = 2)]
async fn failing(how: String) -> Result<(), BoxError> {
    match how.as_str() {
        "retry" => Err(outcome::retry_in(Duration::ZERO))?,
        "snooze" => Err(outcome::snooze(DAY))?,
        "cancel" => Err(outcome::cancel("not wanted"))?,
        _ => Err(outcome::discard("as asked"))?,
    }
}

async fn minutes(pool: &PgPool) -> Vec<Minute> {
    taskq::operate(pool).minutes(DAY).await.expect("told")
}

/// What was counted of a kind, of all minutes.
#[derive(Debug, Default)]
struct Sum {
    completed: i64,
    failed: i64,
    died: i64,
    wait: Spread,
    run: Spread,
}

async fn sums(pool: &PgPool) -> BTreeMap<String, Sum> {
    let mut sums = BTreeMap::<_, Sum>::new();
    for minute in minutes(pool).await {
        let kind = format!("{} {}", minute.queue, minute.task_type);
        let sum = sums.entry(kind).or_default();
        sum.completed += minute.completed;
        sum.failed += minute.failed;
        sum.died += minute.died;
        sum.wait.merge(&minute.wait);
        sum.run.merge(&minute.run);
    }
    sums
}

/// Checks that each minute of all kinds together is what its kinds add up to.
async fn assert_totals(pool: &PgPool) {
    // With the numbers of both tables, kind by kind and bucket by bucket.
    let wrong: Vec<(String, String)> = sqlx::query_as(
        "with counted as (
             select minute, what, sum(number) as number
             from (
                 select minute, unnest(array['completed', 'failed', 'died']) as what, unnest(array[completed, failed, died]) as number
                 from taskq.minute
                 union all
                 select minute, 'wait ' || place, number from taskq.minute, unnest(waits) with ordinality as it (number, place)
                 union all
                 select minute, 'run ' || place, number from taskq.minute, unnest(runs) with ordinality as it (number, place)
             ) as of_kinds
             group by 1, 2
         ),
         total as (
             select minute, unnest(array['completed', 'failed', 'died']) as what, unnest(array[completed, failed, died]) as number
             from taskq.minute_total
             union all
             select minute, 'wait ' || place, number from taskq.minute_total, unnest(waits) with ordinality as it (number, place)
             union all
             select minute, 'run ' || place, number from taskq.minute_total, unnest(runs) with ordinality as it (number, place)
         )
         select what, format('%s of kinds, %s of all', counted.number, total.number)
         from counted
         full join total using (minute, what)
         where coalesce(counted.number, 0) <> coalesce(total.number, 0)",
    )
    .fetch_all(pool)
    .await
    .expect("readable");
    assert!(wrong.is_empty(), "{wrong:?}");
    let minutes: i64 = one(pool, "select count(*) from taskq.minute_total").await;
    assert!(minutes > 0, "a minute at least was counted");
}

#[tokio::test]
async fn what_ran_is_counted_by_queue_and_type_with_how_long_it_waited_and_ran() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        r#"insert into taskq.task (task_type, payload, run_at, created_at, queue)
           select 'sleepy', '{"sleeps_ms": 40}', now() - interval '10 seconds', now() - interval '1 hour',
               case when n < 5 then 'default' else 'mail' end
           from generate_series(1, 7) as n;
           insert into taskq.task (task_type, payload) values
               ('sleepy', '"no payload of its"'),
               ('in_a_transaction', '{"fails": false}'), ('in_a_transaction', '{"fails": true}'),
               ('failing', '{"how": "retry"}'), ('failing', '{"how": "cancel"}'),
               ('failing', '{"how": "discard"}'), ('failing', '{"how": "snooze"}')"#,
    )
    .await;
    let worker = worker(&pool)
        .queue("mail", 2)
        .only::<(Sleepy, InATransaction, Failing)>();
    while_working(worker, async {
        until("all but those that wait again", async || {
            let rest = "select count(*) from taskq.tasks where state = 'running' or state = 'waiting' and run_at <= now()";
            one::<i64>(&pool, rest).await == 0
        })
        .await;
    })
    .await;
    let sums = sums(&pool).await;
    let counted: Vec<_> = sums
        .iter()
        .map(|(kind, sum)| (kind.as_str(), sum.completed, sum.failed, sum.died))
        .collect();
    assert_eq!(
        counted,
        [
            // One failed twice, and one gave up; what was cancelled or snoozed is neither.
            ("default failing", 0, 1, 2),
            ("default in_a_transaction", 1, 1, 0),
            ("default sleepy", 4, 0, 1),
            ("mail sleepy", 3, 0, 0),
        ]
    );
    let sleepy = &sums["default sleepy"];
    assert_eq!(
        (sleepy.wait.count(), sleepy.run.count()),
        (4, 4),
        "what does not decode never starts"
    );
    let wait = sleepy.wait.quantile(0.0).expect("counted");
    assert!(
        wait >= Duration::from_secs(8),
        "it was due for 10 s: {wait:?}"
    );
    let run = sleepy.run.quantile(0.0).expect("counted");
    assert!(run >= Duration::from_millis(32), "it slept 40 ms: {run:?}");
    let run = sums["default in_a_transaction"].run.quantile(0.0);
    assert!(run.expect("counted") >= Duration::from_millis(16));
    assert_totals(&pool).await;
    let counters: Vec<(String, String, i64)> =
        sqlx::query_as("select task_type, outcome, total from taskq.counter order by 1, 2")
            .fetch_all(&pool)
            .await
            .expect("readable");
    let counters: Vec<_> = counters
        .iter()
        .map(|(of, how, n)| (of.as_str(), how.as_str(), *n))
        .collect();
    assert_eq!(
        counters,
        [
            ("failing", "cancelled", 1),
            ("failing", "discarded", 2),
            ("failing", "retry", 1),
            ("failing", "snooze", 1),
            ("in_a_transaction", "completed", 1),
            ("in_a_transaction", "retry", 1),
            ("sleepy", "completed", 7),
            ("sleepy", "invalid", 1),
        ],
        "both queues of a type"
    );
}

#[tokio::test]
async fn what_several_workers_count_in_a_minute_adds_up() {
    let (_database, pool) = database().await;
    let round = async |sleeps_ms: i32| {
        sqlx::query(
            "insert into taskq.task (task_type, payload)
             select 'sleepy', jsonb_build_object('sleeps_ms', $1) from generate_series(1, 20)",
        )
        .bind(sleeps_ms)
        .execute(&pool)
        .await
        .expect("enqueued");
        let both = || drain(worker(&pool).only::<(Sleepy,)>(), &pool);
        tokio::join!(both(), both());
    };
    round(0).await;
    // A longer array than the one that is there, and then a shorter one.
    round(70).await;
    round(0).await;
    let sums = sums(&pool).await;
    let sum = &sums["default sleepy"];
    assert_eq!(
        (sum.completed, sum.run.count(), sum.wait.count()),
        (60, 60, 60)
    );
    let long: u64 = sum
        .run
        .buckets()
        .filter(|(below, _)| *below > Duration::from_millis(64))
        .map(|(_, count)| count)
        .sum();
    assert!((20..60).contains(&long), "{:?}", sum.run);
    assert_totals(&pool).await;
}

#[tokio::test]
async fn minutes_come_oldest_first_and_only_as_many_as_were_asked_for() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.minute (minute, queue, task_type, completed, failed, died, waits, runs)
         select date_trunc('minute', now()) - make_interval(mins => n), 'default', 'greet', n, 0, 0, '{0,1}', '{1}'
         from generate_series(0, 300, 20) as n",
    )
    .await;
    let hour = Duration::from_secs(60 * 60);
    let found = taskq::operate(&pool).minutes(hour).await.expect("told");
    let completed: Vec<i64> = found.iter().map(|minute| minute.completed).collect();
    assert_eq!(completed, [60, 40, 20, 0]);
    let all = taskq::operate(&pool).minutes(Duration::MAX).await;
    assert_eq!(all.expect("told").len(), 16);
    let json = serde_json::to_value(&found[0]).expect("json");
    assert_eq!(json["wait"], serde_json::json!([0, 1]));
}

#[tokio::test]
async fn minutes_are_forgotten_after_two_days() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.minute (minute, queue, task_type, completed, failed, died, waits, runs)
         select now() - make_interval(hours => n), 'default', 'greet', 1, 0, 0, '{}', '{}'
         from unnest(array[1, 47, 49, 100, 1000]) as n;
         insert into taskq.minute_total
         select minute, completed, failed, died, waits, runs from taskq.minute",
    )
    .await;
    let prune = include_str!("../../../taskq/src/store/sql/history/prune_minutes.sql");
    for (most, left) in [(2, 3), (2, 2), (2, 2)] {
        let prune = prune.replace("$1", &most.to_string());
        raw_sql(AssertSqlSafe(prune))
            .execute(&pool)
            .await
            .expect("pruned");
        let rest: i64 = one(&pool, "select count(*) from taskq.minute").await;
        let totals: i64 = one(&pool, "select count(*) from taskq.minute_total").await;
        assert_eq!((rest, totals), (left, left));
    }
}

/// As where somebody has migrated and not granted.
#[tokio::test]
async fn a_table_that_takes_no_minutes_holds_up_neither_heartbeats_nor_counters() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "alter table taskq.minute add constraint no_more check (false);
         insert into taskq.task (task_type, payload) values ('sleepy', '{\"sleeps_ms\": 0}')",
    )
    .await;
    let log = Log::capture();
    let worker = worker(&pool)
        .only::<(Sleepy,)>()
        .lease(Duration::from_secs(1));
    while_working(worker, async {
        until("counted", async || {
            one::<i64>(
                &pool,
                "select coalesce(sum(total), 0)::bigint from taskq.counter",
            )
            .await
                == 1
        })
        .await;
        until("said", async || {
            log.has("cannot write what was done by the minute")
        })
        .await;
        execute(&pool, "alter table taskq.minute drop constraint no_more").await;
        // It was kept.
        until("written", async || {
            sums(&pool).await.contains_key("default sleepy")
        })
        .await;
    })
    .await;
    assert!(!log.has("heartbeat failed"), "{}", log.text());
    assert_eq!(sums(&pool).await["default sleepy"].completed, 1);
    let total: i64 = one(&pool, "select sum(total)::bigint from taskq.counter").await;
    assert_eq!(total, 1, "and it was counted once");
}

#[tokio::test]
async fn counts_are_written_in_time_though_leases_are_long() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.task (task_type, payload) values ('sleepy', '{\"sleeps_ms\": 0}')",
    )
    .await;
    let worker = worker(&pool)
        .only::<(Sleepy,)>()
        .lease(Duration::from_secs(60 * 60));
    while_working(worker, async {
        until("written", async || !minutes(&pool).await.is_empty()).await;
    })
    .await;
}

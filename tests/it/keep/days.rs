//! Days of the history, their edges, and rows that come late.

use taskq::task;
use taskq::testing::drain;

use super::{ended, left, of, pruned};
use crate::support::{database, execute, one, until, worker};

#[task(keep = "2d")]
async fn two_days() {}

#[task(keep = "5d")]
async fn five_days() {}

const DAYS: &str =
    "select count(*) from pg_class where relname ~ '^history_[0-9]{8}$' and relkind = 'r'";

#[tokio::test]
async fn a_day_is_dropped_when_nothing_in_it_is_kept_any_longer() {
    let (_database, pool) = database().await;
    for day in 1..=12 {
        let ago = format!("{day} days");
        ended(&pool, "two_days", "completed", &ago, 10).await;
        ended(&pool, "five_days", "completed", &ago, 10).await;
        ended(&pool, "unsaid", "completed", &ago, 10).await;
    }
    let run = || drain(worker(&pool).only::<(TwoDays, FiveDays)>());
    run().await.expect("drained");
    run().await.expect("drained");
    // Those of which nobody says it are kept longest, for a week, and go with their day.
    let kept = left(&pool).await;
    let of_type = |name: &str| {
        kept.get(&(name.to_owned(), "completed".to_owned()))
            .copied()
    };
    assert_eq!(of_type("two_days"), Some(10));
    assert_eq!(of_type("five_days"), Some(40));
    let unsaid = of_type("unsaid").expect("some");
    assert!((70..=90).contains(&unsaid), "{unsaid}");
    let days: i64 = one(&pool, DAYS).await;
    assert!((9..=12).contains(&days), "{days} days");
    let counted: i64 = pruned(&pool).await.values().sum();
    let still: i64 = kept.values().sum();
    assert_eq!(counted + still, 360, "each is counted once");
}

#[tokio::test]
async fn what_is_kept_for_ever_keeps_its_days_and_others_leave_them() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "select taskq.keep('five_days', 'completed', 'forever')",
    )
    .await;
    for name in ["two_days", "five_days", "unsaid"] {
        ended(&pool, name, "completed", "400 days", 3).await;
    }
    drain(worker(&pool).only::<(TwoDays, FiveDays)>())
        .await
        .expect("drained");
    assert_eq!(left(&pool).await, of([("five_days", "completed", 3)]));
}

/// The clocks of Zurich go back an hour in it: a day of the session has 25 hours, and a time is still a time.
#[tokio::test]
async fn nothing_is_pruned_early_where_the_clocks_change() {
    let (_database, pool) = database().await;
    // Ends a second before the day of UTC, and a second after it.
    execute(
        &pool,
        "insert into taskq.history (
             task_id, task_type, payload, queue, priority, created_at, attempts, claimed_at, finished_at
         )
         select n, 'two_days', '{}', 'default', 0, now(), 1, now(), now() - interval '48 hours' + make_interval(secs => n)
         from generate_series(-60, 60, 20) as n
         where n <> 0",
    )
    .await;
    drain(worker(&pool).only::<(TwoDays, FiveDays)>())
        .await
        .expect("drained");
    let early: i64 = one(
        &pool,
        "select count(*) from taskq.history where finished_at > now() - interval '48 hours'",
    )
    .await;
    assert!((1..=3).contains(&early), "{early}");
    let left: Vec<i64> = sqlx::query_scalar("select task_id from taskq.history order by task_id")
        .fetch_all(&pool)
        .await
        .expect("read");
    assert!(
        left.ends_with(&[40, 60]) && !left.contains(&-20),
        "{left:?}"
    );
    // The same in a session whose days have 25 hours now and then.
    let mut session = pool.acquire().await.expect("a connection");
    for zone in ["Europe/Zurich", "America/St_Johns", "Pacific/Apia"] {
        let edge: bool = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "select set_config('timezone', '{zone}', false) is not null
                 and timestamptz '2026-10-26 00:30:00+00' - make_interval(secs => 86400)
                   = timestamptz '2026-10-25 00:30:00+00'"
        )))
        .fetch_one(&mut *session)
        .await
        .expect("asked");
        assert!(edge, "{zone}");
    }
}

#[tokio::test]
async fn what_commits_late_is_pruned_a_day_later() {
    let (_database, pool) = database().await;
    let run = || drain(worker(&pool).only::<(TwoDays, FiveDays)>());
    run().await.expect("drained");
    // Its transaction began long ago, and other rows of that time are pruned already.
    ended(&pool, "two_days", "completed", "50 hours", 1).await;
    run().await.expect("drained");
    assert_eq!(left(&pool).await.len(), 1);
    execute(
        &pool,
        "update taskq.keep_sweep set again_at = now() - interval '1 second'",
    )
    .await;
    run().await.expect("drained");
    assert_eq!(left(&pool).await, of([]));
}

#[tokio::test]
async fn with_another_time_the_history_is_read_anew_and_what_came_late_is_found() {
    let (_database, pool) = database().await;
    let prune = async || taskq::operate(&pool).prune().await.expect("pruned");
    let keep = "select taskq.keep('two_days', 'completed', '2d'), taskq.keep('others', 'completed', '30d')";
    execute(&pool, keep).await;
    prune().await;
    // Later than the two days that are read once more each day.
    ended(&pool, "two_days", "completed", "5 days", 2).await;
    assert_eq!(prune().await, 0);
    execute(&pool, "select taskq.keep('two_days', 'completed', '3d')").await;
    assert_eq!(prune().await, 2);
}

#[tokio::test]
async fn what_nobody_says_any_more_is_pruned_with_what_was_never_said() {
    let (_database, pool) = database().await;
    let prune = async || taskq::operate(&pool).prune().await.expect("pruned");
    execute(
        &pool,
        "select taskq.declare_keep('{\"\"}', '{completed}', array[7 * 86400]),
             taskq.keep('two_days', 'completed', '30d'), taskq.keep('others', 'completed', '60d')",
    )
    .await;
    ended(&pool, "two_days", "completed", "20 days", 2).await;
    ended(&pool, "unsaid", "completed", "20 days", 3).await;
    assert_eq!(prune().await, 3);
    execute(&pool, "select taskq.reset_keep('two_days', 'completed')").await;
    assert_eq!(prune().await, 2);
    assert_eq!(left(&pool).await, of([]));
}

/// Rows of a day without a partition are moved to it when it is made. Whoever reads or prunes meanwhile has found out which
/// partitions there are before it waits.
#[tokio::test]
async fn rows_that_are_moved_to_their_day_are_read_and_pruned_meanwhile() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "select taskq.keep('two_days', 'completed', '2d'), taskq.keep('others', 'completed', '30d');
         alter function taskq.prune_kept set lock_timeout = '20s'",
    )
    .await;
    for (ago, statement) in [
        ("5 days", "select count(*) from taskq.history"),
        ("6 days", "select pruned from taskq.prune_kept(1000)"),
    ] {
        execute(&pool, "truncate taskq.history").await;
        ended(&pool, "two_days", "completed", ago, 5).await;
        let mut moving = pool.begin().await.expect("a transaction");
        sqlx::query("select taskq.prune_history_day('30 days')")
            .execute(&mut *moving)
            .await
            .expect("moved");
        let meanwhile = tokio::spawn({
            let pool = pool.clone();
            async move { one::<i64>(&pool, statement).await }
        });
        until("it waits", async || {
            let waits = "select exists (select from pg_locks where not granted and database =
                             (select oid from pg_database where datname = current_database()))";
            one::<bool>(&pool, waits).await
        })
        .await;
        moving.commit().await.expect("committed");
        assert_eq!(meanwhile.await.expect("answered"), 5, "{statement}");
    }
    assert_eq!(left(&pool).await, of([]));
}

#[tokio::test]
async fn what_is_pruned_while_its_day_is_dropped_is_counted_once() {
    const DROP: &str = "select taskq.prune_history_day('7 days')";
    let (_database, pool) = database().await;
    let keep =
        "select taskq.keep('two_days', 'completed', '2d'), taskq.keep('others', 'completed', '5d')";
    execute(&pool, keep).await;
    // Makes room for the next days, and then for that one.
    for _ in 0..2 {
        execute(&pool, DROP).await;
    }
    ended(&pool, "two_days", "completed", "10 days", 10).await;
    execute(&pool, DROP).await;
    let mut pruning = pool.begin().await.expect("begun");
    let pruned_kept: i64 = sqlx::query_scalar("select pruned from taskq.prune_kept(7)")
        .fetch_one(&mut *pruning)
        .await
        .expect("pruned");
    assert_eq!(pruned_kept, 7);
    let dropping = tokio::spawn({
        let pool = pool.clone();
        async move {
            sqlx::query_scalar::<_, Option<String>>(DROP)
                .fetch_one(&pool)
                .await
        }
    });
    until("it waits", async || {
        let waits = "select exists (
             select from pg_stat_activity
             where datname = current_database()
               and wait_event_type = 'Lock'
               and query like 'select taskq.prune_history_day%'
         )";
        one::<bool>(&pool, waits).await || dropping.is_finished()
    })
    .await;
    pruning.commit().await.expect("pruned");
    // It waits for a fifth of a second at most.
    if dropping.await.expect("no panic").is_err() {
        execute(&pool, DROP).await;
    }
    assert_eq!(pruned(&pool).await, of([("two_days", "completed", 10)]));
    assert_eq!(left(&pool).await, of([]));
}

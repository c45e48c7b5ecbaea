//! What remains of completed tasks: counters always, rows where somebody keeps them.

use std::collections::BTreeMap;

use sqlx::PgPool;
use taskq::{Payload, task};

use crate::support::{database, drain, execute, one, states, until, while_working, worker};

#[task]
async fn kept() {}

#[task(max_attempts = 1)]
async fn failing() -> Result<(), &'static str> {
    Err("no")
}

async fn counters(pool: &PgPool) -> BTreeMap<(String, String), i64> {
    let rows: Vec<(String, String, i64)> =
        sqlx::query_as("select task_type, outcome, total from taskq.counter")
            .fetch_all(pool)
            .await
            .expect("readable");
    rows.into_iter()
        .map(|(task_type, outcome, total)| ((task_type, outcome), total))
        .collect()
}

#[tokio::test]
async fn a_completed_task_is_gone_and_counted() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.task (task_type) select 'kept' from generate_series(1, 30)
         union all select 'failing' from generate_series(1, 3)",
    )
    .await;
    for _ in 0..2 {
        drain(worker(&pool).only::<(Kept, Failing)>(), &pool).await;
    }
    let counters = counters(&pool).await;
    let of = |task_type: &str, outcome: &str| {
        counters
            .get(&(task_type.to_owned(), outcome.to_owned()))
            .copied()
    };
    assert_eq!(of("kept", "completed"), Some(30));
    assert_eq!(of("failing", "discarded"), Some(3));
    assert_eq!(
        states(&pool).await,
        BTreeMap::from([("discarded".to_owned(), 3)])
    );
}

const MAKE_PARTITION_OF_TODAY: &str = "
    select taskq.make_history_partition(today)
    from (select (now() at time zone 'UTC')::date as today) as it
    where to_regclass('taskq.history_' || to_char(today, 'YYYYMMDD')) is null";

const DROP_PARTITION_OF_TODAY: &str = "
    do $$
    begin
        execute format(
            'drop table if exists taskq.history_%s', to_char(now() at time zone 'UTC', 'YYYYMMDD')
        );
    end $$";

#[tokio::test]
async fn a_worker_keeps_completed_tasks_in_a_partition_for_the_day() {
    let (_database, pool) = database().await;
    execute(&pool, MAKE_PARTITION_OF_TODAY).await;
    execute(
        &pool,
        "insert into taskq.task (task_type, payload_version) select 'kept', 1 from generate_series(1, 5)",
    )
    .await;
    let worker = worker(&pool).only::<(Kept,)>().keep_completed(true);
    while_working(
        worker,
        until("kept, each in its place", async || {
            let unplaced: i64 = one(&pool, "select count(*) from taskq.history_default").await;
            let kept: i64 = one(&pool, "select count(*) from taskq.history").await;
            let to_come: i64 = one(
                &pool,
                "select count(*) from generate_series(1, 2) as ahead
                 where to_regclass('taskq.history_' || to_char(now() at time zone 'UTC' + make_interval(days => ahead), 'YYYYMMDD')) is not null",
            )
            .await;
            (unplaced, kept, to_come) == (0, 5, 2)
        }),
    )
    .await;
    let versions: i64 = one(
        &pool,
        "select count(*) from taskq.tasks where state = 'completed' and payload_version = 1",
    )
    .await;
    assert_eq!(versions, 5);
}

#[tokio::test]
async fn old_days_are_dropped_and_strays_find_their_day() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.history (task_id, task_type, payload, queue, priority, created_at, attempts, claimed_at, finished_at)
         select n, 'old', '{}', 'default', 0, now(), 1, now(), now() - interval '3 days'
         from generate_series(1, 4) as n",
    )
    .await;
    let kept = "select count(*) from taskq.history";
    let strays = "select count(*) from taskq.history_default";
    assert_eq!(one::<i64>(&pool, strays).await, 4);
    let prune = "select taskq.prune_history_day('7 days') is not null";
    while one::<bool>(&pool, prune).await {}
    assert_eq!(one::<i64>(&pool, strays).await, 0);
    assert_eq!(one::<i64>(&pool, kept).await, 4);
    let prune = "select taskq.prune_history_day('1 day') is not null";
    assert!(one::<bool>(&pool, prune).await, "a day is dropped");
    assert!(!one::<bool>(&pool, prune).await, "and nothing else");
    assert_eq!(one::<i64>(&pool, kept).await, 0);
}

#[tokio::test]
async fn who_reads_the_history_while_days_are_dropped_meets_no_deadlock() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.history (task_id, task_type, payload, queue, priority, created_at, attempts, claimed_at, finished_at)
         select n, 'old', '{}', 'default', 0, now(), 1, now(), now() - make_interval(days => n)
         from generate_series(3, 12) as n",
    )
    .await;
    while one::<bool>(
        &pool,
        "select taskq.prune_history_day('30 days') is not null",
    )
    .await
    {}
    let read = async |order: &'static str| {
        let sql = format!(
            "select relname::text from pg_class where relname ~ '^history_[0-9]{{8}}$' order by relname {order}"
        );
        let mut tx = pool.begin().await.expect("a transaction");
        let days: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .fetch_all(&mut *tx)
            .await
            .expect("the days");
        for day in days {
            let count = sqlx::AssertSqlSafe(format!("select count(*) from taskq.{day}"));
            match sqlx::query(count).execute(&mut *tx).await {
                Ok(_) => {}
                // Dropped meanwhile.
                Err(error) if error.to_string().contains("does not exist") => return,
                Err(error) => panic!("{day}: {error}"),
            }
        }
        one::<i64>(&pool, "select count(*) from taskq.history").await;
        sqlx::query("select count(*) from taskq.history")
            .execute(&mut *tx)
            .await
            .expect("read");
        tx.commit().await.expect("committed");
    };
    let prune = async {
        let mut dropped = 0;
        let mut db = pool.acquire().await.expect("a connection");
        while dropped < 10 {
            let pruned =
                sqlx::query_scalar::<_, Option<String>>("select taskq.prune_history_day('1 day')");
            match pruned.fetch_one(&mut *db).await {
                Ok(Some(_)) => dropped += 1,
                Ok(None) => break,
                Err(error) => assert!(error.to_string().contains("lock timeout"), "{error}"),
            }
        }
        dropped
    };
    let readers = async {
        for _ in 0..30 {
            tokio::join!(read("asc"), read("desc"));
        }
    };
    let (dropped, ()) = tokio::join!(prune, readers);
    assert_eq!(dropped, 10);
}

#[tokio::test]
async fn a_task_that_completes_while_the_history_is_pruned_is_kept() {
    let (_database, pool) = database().await;
    execute(&pool, DROP_PARTITION_OF_TODAY).await;
    let mut pruning = pool.begin().await.expect("a transaction");
    let prune = "select taskq.prune_history_day('7 days')";
    for _ in 0..3 {
        sqlx::query(prune)
            .execute(&mut *pruning)
            .await
            .expect("pruned");
    }
    // On its way to the default partition, whose bounds are just changing.
    let writing = tokio::spawn({
        let pool = pool.clone();
        async move {
            execute(
                &pool,
                "insert into taskq.history (task_id, task_type, payload, queue, priority, created_at, attempts, claimed_at)
                 values (1, 'kept', '{}', 'default', 0, now(), 1, now())",
            )
            .await;
        }
    });
    until("it waits", async || {
        let waiting = "select count(*) from pg_locks where not granted and database = (select oid from pg_database where datname = current_database())";
        one::<i64>(&pool, waiting).await > 0
    })
    .await;
    pruning.commit().await.expect("committed");
    writing.await.expect("kept");
    let strays = "select count(*) from taskq.history_default";
    assert_eq!(one::<i64>(&pool, strays).await, 1);
}

#[tokio::test]
async fn a_row_that_is_newer_than_this_binary_waits_untouched() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.task (task_type, payload_version)
         values ('kept', 0), ('kept', 1), ('kept', 2), ('kept', 32767)",
    )
    .await;
    assert_eq!(Kept::OPTIONS.version, 1);
    while_working(
        worker(&pool).only::<(Kept,)>(),
        until("two are left", async || {
            states(&pool).await == BTreeMap::from([("waiting".to_owned(), 2)])
        }),
    )
    .await;
    let touched: i64 = one(
        &pool,
        "select count(*) from taskq.task where payload_version < 2 or attempts > 0 or crashes > 0",
    )
    .await;
    assert_eq!(touched, 0);
}

//! `bench`: it measures, leaves nothing behind, and disturbs nobody unasked.

use serde_json::Value;

use crate::cli::said;
use crate::support::{database, execute, one};

#[tokio::test]
async fn it_measures_and_leaves_nothing_behind() {
    let (database, pool) = database().await;
    let (out, err, code) = said(&database, &["bench", "--tasks", "300", "--json"]).await;
    assert_eq!(code, Some(0), "{err}");
    let measured: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(measured["tasks"], 300);
    for rate in [
        "enqueued_per_second",
        "run_per_second",
        "wake_p50_ms",
        "wake_p99_ms",
    ] {
        assert!(
            measured[rate].as_f64().expect("a number") > 0.0,
            "{measured}"
        );
    }
    for table in [
        "task", "lease", "dead", "history", "counter", "minute", "worker",
    ] {
        let count = format!("select count(*) from taskq.{table}");
        let left: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(count))
            .fetch_one(&pool)
            .await
            .expect("readable");
        assert_eq!(left, 0, "{table}");
    }
    let left: i64 = one(
        &pool,
        "select coalesce(sum(completed + failed + died + (select sum(number) from unnest(waits || runs) as number)), 0)::bigint
         from taskq.minute_total",
    )
    .await;
    assert_eq!(left, 0, "it has taken its own from what all kinds did");
    assert!(
        one(&pool, "select exists (select from taskq.minute_total)").await,
        "its minutes were counted"
    );
}

#[tokio::test]
async fn it_does_not_disturb_workers_unasked_nor_another_one() {
    let (database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.worker (worker_id, host, process_id, queues, task_types, expires_at)
         values (gen_random_uuid(), 'here', 1, '{default}', '{greet}', now() + interval '1 hour')",
    )
    .await;
    let (_, err, code) = said(&database, &["bench", "--tasks", "10"]).await;
    assert_eq!(code, Some(2));
    assert!(err.contains("1 workers live here"), "{err}");
    let (out, err, code) = said(&database, &["bench", "--tasks", "10", "--yes"]).await;
    assert_eq!(code, Some(0), "{err}");
    assert!(
        out.starts_with("enqueue ") && out.contains("\nwake "),
        "{out}"
    );
    execute(
        &pool,
        "insert into taskq.task (task_type, queue) values ('taskq_bench', 'taskq_bench')",
    )
    .await;
    let (_, err, code) = said(&database, &["bench", "--yes"]).await;
    assert_eq!(code, Some(1));
    assert!(err.contains("cancel --all queue:taskq_bench"), "{err}");
    let left: i64 = one(&pool, "select count(*) from taskq.task").await;
    assert_eq!(left, 1);
}

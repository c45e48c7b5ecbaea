//! For how long finished tasks are kept, by outcome and task type.

mod days;
mod depends;
mod many;
mod outcomes;
mod steps;
mod versions;

use std::collections::BTreeMap;

use sqlx::{PgPool, query};

/// Puts finished tasks there that ended so long ago, one after the other within a moment: at whatever hour a test runs, a
/// midnight hardly ever lies between them.
async fn ended(pool: &PgPool, task_type: &str, outcome: &str, ago: &str, number: i32) {
    let sql = match outcome {
        "completed" => {
            "insert into taskq.history (
                 task_id, task_type, payload, queue, priority, created_at, attempts, claimed_at, finished_at
             )
             select
                 nextval(pg_get_serial_sequence('taskq.task', 'task_id')), $1, '{}', 'default', 0, now(), 1, now(),
                 now() - $3::interval - make_interval(secs => n / 1e6)
             from generate_series(0, $4 - 1) as n
             where $2 = 'completed'"
        }
        _ => {
            "insert into taskq.dead (
                 task_id, task_type, payload, queue, priority, created_at, attempts, crashes, state, finished_at
             )
             select
                 nextval(pg_get_serial_sequence('taskq.task', 'task_id')), $1, '{}', 'default', 0, now(), 1, 0, $2,
                 now() - $3::interval - make_interval(secs => n / 1e6)
             from generate_series(0, $4 - 1) as n"
        }
    };
    let insert = query(sql)
        .bind(task_type)
        .bind(outcome)
        .bind(ago)
        .bind(number);
    insert.execute(pool).await.expect("inserted");
}

/// Returns how many tasks have ended, by task type and outcome.
async fn left(pool: &PgPool) -> BTreeMap<(String, String), i64> {
    rows(
        pool,
        "select task_type, state, count(*) from taskq.tasks group by 1, 2",
    )
    .await
}

/// Returns how many were pruned, by task type and outcome.
async fn pruned(pool: &PgPool) -> BTreeMap<(String, String), i64> {
    rows(pool, "select task_type, outcome, total from taskq.pruned").await
}

async fn rows(pool: &PgPool, sql: &'static str) -> BTreeMap<(String, String), i64> {
    let rows: Vec<(String, String, i64)> = sqlx::query_as(sql).fetch_all(pool).await.expect("read");
    let rows = rows.into_iter();
    rows.map(|(task_type, outcome, number)| ((task_type, outcome), number))
        .collect()
}

fn of<const N: usize>(rows: [(&str, &str, i64); N]) -> BTreeMap<(String, String), i64> {
    let rows = rows.into_iter();
    rows.map(|(task_type, outcome, number)| ((task_type.to_owned(), outcome.to_owned()), number))
        .collect()
}

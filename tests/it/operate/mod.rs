//! What operators ask of tasks and workers, and do to them.

mod acknowledge;
mod audit;
mod bulk;
mod bulk_many;
mod cancel;
mod causes;
mod doctor;
mod doctor_alone;
mod doctor_numbers;
mod doctor_server;
mod find;
mod minutes;
mod retry;
mod standby;
mod stats;
mod verbs;
mod why;
mod workers;

use sqlx::{AssertSqlSafe, PgPool};
use taskq::OperateError;
use taskq::operate::TaskState;

/// Returns what was refused, as a person reads it.
fn refusal(answer: Result<TaskState, OperateError>) -> String {
    match answer {
        Err(OperateError::Refused { message }) => message,
        other => panic!("not refused: {other:?}"),
    }
}

/// Enqueues a task by its type and the text of its payload, and returns its id.
async fn enqueue(pool: &PgPool, task_type: &str, payload: &str) -> i64 {
    let sql = format!(
        "insert into taskq.task (task_type, payload) values ('{task_type}', '{payload}') returning task_id"
    );
    sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_one(pool)
        .await
        .expect("enqueued")
}

/// Returns what the audit has of a task: who, verb, state and why.
async fn audit(pool: &PgPool, task_id: i64) -> Vec<(String, String, String, Option<String>)> {
    sqlx::query_as(
        "select by, verb, state, reason from taskq.audit where task_id = $1 order by audit_id",
    )
    .bind(task_id)
    .fetch_all(pool)
    .await
    .expect("readable")
}

//! Everything that taskq says to Postgres. One file in `sql/` and one function here for each verb.

mod schema;

use serde_json::value::RawValue;
use sqlx::types::Json;
use sqlx::{Error, PgConnection, query_scalar};

pub use self::schema::{InvalidSchemaName, Schema};
use crate::options::Options;

/// Inserts one task.
pub(crate) async fn enqueue(
    db: &mut PgConnection,
    schema: Schema,
    options: &Options,
    payload: &RawValue,
) -> Result<i64, Error> {
    let (run_at, delay) = options.start.run_at_and_delay();
    query_scalar(schema.sql.enqueue)
        .bind(options.task_type)
        .bind(Json(payload))
        .bind(&*options.queue)
        .bind(options.priority)
        .bind(i32::from(options.max_attempts))
        .bind(run_at)
        .bind(delay)
        .fetch_one(db)
        .await
}

/// Inserts tasks of one type and returns their ids in the order given.
pub(crate) async fn enqueue_many(
    db: &mut PgConnection,
    schema: Schema,
    options: &Options,
    payloads: &[Box<RawValue>],
) -> Result<Vec<i64>, Error> {
    let (run_at, delay) = options.start.run_at_and_delay();
    let payloads: Vec<Json<&RawValue>> = payloads.iter().map(|payload| Json(&**payload)).collect();
    query_scalar(schema.sql.enqueue_many)
        .bind(options.task_type)
        .bind(payloads)
        .bind(&*options.queue)
        .bind(options.priority)
        .bind(i32::from(options.max_attempts))
        .bind(run_at)
        .bind(delay)
        .fetch_all(db)
        .await
}

//! In a transaction of Diesel.

use diesel::sql_types::{BigInt, Text};
use diesel::{QueryResult, QueryableByName, sql_query};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

/// What `taskq.enqueue` returns.
#[derive(Debug, QueryableByName)]
pub struct Enqueued {
    /// The id of the task.
    #[diesel(sql_type = BigInt)]
    pub task_id: i64,
    /// `created`, `existing` or `replaced`.
    #[diesel(sql_type = Text)]
    pub outcome: String,
}

/// Adds a user, and has the mail sent.
///
/// # Errors
///
/// What Postgres said. Then there is neither a user nor a task.
pub async fn sign_up(db: &mut AsyncPgConnection, email: &str) -> QueryResult<Enqueued> {
    db.transaction(async |tx| {
        sql_query("insert into usr (email) values ($1)")
            .bind::<Text, _>(email)
            .execute(tx)
            .await?;
        sql_query("select * from taskq.enqueue('welcome', jsonb_build_object('email', $1))")
            .bind::<Text, _>(email)
            .get_result(tx)
            .await
    })
    .await
}

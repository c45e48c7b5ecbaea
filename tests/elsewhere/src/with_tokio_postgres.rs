//! In a transaction of tokio-postgres.

use tokio_postgres::{Client, Error};

/// Adds a user, and has the mail sent. Returns the id of the task.
///
/// # Errors
///
/// What Postgres said. Then there is neither a user nor a task.
pub async fn sign_up(client: &mut Client, email: &str) -> Result<i64, Error> {
    let tx = client.transaction().await?;
    tx.execute("insert into usr (email) values ($1)", &[&email])
        .await?;
    let enqueue = "
        select task_id
        from taskq.enqueue('welcome', jsonb_build_object('email', $1::text))";
    let task = tx.query_one(enqueue, &[&email]).await?;
    tx.commit().await?;
    Ok(task.get("task_id"))
}

//! Limits for the values of a payload, checked when it is enqueued and again before it is run.
//!
//! ```text
//! $ cargo run --example validation
//! refused: the payload of `invite` has values that its task type refuses: `seats`: lower than 1
//! invited ada@example.com to 2 seats
//! set aside: the payload has values that its task type refuses: `email`: does not contain "@"
//! ```
//!
//! It needs the feature `garde`. The example `verification` shows types that cannot be wrong, which
//! need no feature.

use taskq::Worker;
use taskq::testing::Database;

/// Whoever enqueues it, the handler never sees a payload that is out of these limits.
#[taskq::task]
async fn invite(
    #[garde(length(max = 20), contains("@"))] email: String,
    #[garde(range(min = 1, max = 100))] seats: u16,
) {
    println!("invited {email} to {seats} seats");
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = Database::fresh().await?;
    let pool = database.pool();
    let mut tx = pool.begin().await?;
    Invite::enqueue(&mut tx, "ada@example.com".to_owned(), 2).await?;
    // Refused before anything is sent to Postgres, so the transaction goes on.
    if let Err(error) = Invite::enqueue(&mut tx, "grace@example.com".to_owned(), 0).await {
        println!("refused: {error}");
    }
    tx.commit().await?;

    // Nothing checks what another program writes, until a worker decodes it.
    sqlx::raw_sql(
        r#"insert into taskq.task (task_type, payload)
           values ('invite', '{"email": "nobody", "seats": 2}')"#,
    )
    .execute(&pool)
    .await?;

    Worker::builder(pool.clone())
        .build()
        .await?
        .run_until(taskq_examples::all_finished(&pool))
        .await?;

    let aside = "select errors -> -1 ->> 'error' from taskq.dead where state = 'invalid'";
    let aside: String = sqlx::query_scalar(aside).fetch_one(&pool).await?;
    println!("set aside: {aside}");
    Ok(())
}

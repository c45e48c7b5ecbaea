//! Waits for tasks in a process of its own: neither the one that has enqueued them, nor a worker.

use std::time::Duration;

use futures_util::future::join_all;
use sqlx::postgres::PgPoolOptions;
use taskq::{Handle, Payload};

/// As the worker's handler `answer` has it.
#[derive(serde::Serialize, serde::Deserialize, Payload)]
#[taskq(result = String)]
struct Answer {
    bytes: usize,
    takes_ms: u64,
}

/// Takes the ids of tasks, says when it waits, and then what has come of each.
#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pool = PgPoolOptions::new()
        .max_connections(5)
        .connect(&std::env::var("DATABASE_URL")?)
        .await?;
    let task_ids: Vec<i64> = std::env::args()
        .skip(1)
        .map(|id| id.parse())
        .collect::<Result<_, _>>()?;
    println!("waiting");
    let answers = task_ids.into_iter().map(|task_id| {
        let handle = Handle::<Answer>::of(task_id);
        let pool = &pool;
        async move {
            match handle.wait(pool, Duration::from_secs(30)).await {
                Ok(text) => println!("{task_id}: {} bytes", text.len()),
                Err(error) => println!("{task_id}: {error}"),
            }
        }
    });
    join_all(answers).await;
    Ok(())
}

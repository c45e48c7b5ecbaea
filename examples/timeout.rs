//! A time limit for each attempt: a handler that hangs is dropped, and the attempt has failed.
//!
//! ```text
//! $ cargo run --example timeout
//! asking a server that never answers
//! the handler is dropped, and its socket closed
//! discarded: timed out after 300ms
//! ```

use std::future::pending;

use taskq::Worker;
use taskq::testing::Database;

/// The limit is an hour unless said otherwise. `attempt.deadline()` tells a handler when it is over.
#[taskq::task(timeout = "300ms", max_attempts = 1)]
async fn ask() {
    let socket = Socket;
    println!("asking a server that never answers");
    socket.answer().await;
}

struct Socket;

impl Socket {
    async fn answer(&self) {
        pending().await
    }
}

/// A handler is dropped where it awaits, as any future may be, and what it holds is dropped with it.
impl Drop for Socket {
    fn drop(&mut self) {
        println!("the handler is dropped, and its socket closed");
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = Database::fresh().await?;
    let pool = database.pool();
    let mut tx = pool.begin().await?;
    Ask::enqueue(&mut tx).await?;
    tx.commit().await?;

    Worker::builder(pool.clone())
        .build()
        .await?
        .run_until(taskq_examples::all_finished(&pool))
        .await?;

    // With further attempts it would have been retried.
    let dead = "select state || ': ' || (errors -> -1 ->> 'error') from taskq.dead";
    let dead: String = sqlx::query_scalar(dead).fetch_one(&pool).await?;
    println!("{dead}");
    Ok(())
}

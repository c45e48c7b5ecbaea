//! What two releases of a program share: their command line.

use std::env;
use std::error::Error;
use std::io::stderr;
use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use taskq::handler::TaskSet;
use taskq::{Payload, Worker};
use tracing::Level;

/// Does `work`, until SIGTERM, or `enqueue FIRST LAST`: a task for each number, each in a transaction. Says on stderr
/// what it does.
pub async fn main<T: TaskSet, P: Payload>(payload: fn(i64) -> P) -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(Level::DEBUG)
        .with_writer(stderr)
        .init();
    let pool = PgPoolOptions::new()
        .max_connections(15)
        .connect(&env::var("DATABASE_URL")?)
        .await?;
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["work"] => {
            let worker = Worker::builder(pool)
                .only::<T>()
                .queue("default", 5)
                .lease(Duration::from_secs(5))
                .build()
                .await?;
            worker.run_until(taskq::shutdown_signal()).await?;
        }
        ["enqueue", first, last] => {
            for n in first.parse()?..=last.parse()? {
                let mut tx = pool.begin().await?;
                taskq::enqueue(&mut tx, payload(n)).await?;
                tx.commit().await?;
            }
        }
        _ => Err("`work`, or `enqueue FIRST LAST`")?,
    }
    Ok(())
}

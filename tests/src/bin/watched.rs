//! Workers that are watched, in a process of their own: prints the address of each one's endpoint, and goes on until it is
//! killed.

use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use taskq::metrics::Metrics;
use taskq::{Worker, task};
use tokio::net::TcpListener;
use tokio::runtime;
use tokio::task::JoinSet;

#[task(queue = "mail")]
async fn send_card(usr_id: i64) {
    let _ = usr_id;
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pool = PgPoolOptions::new()
        .max_connections(80)
        .connect(&std::env::var("DATABASE_URL")?)
        .await?;
    let workers: usize = std::env::var("WORKERS")?.parse()?;
    let mut running = JoinSet::new();
    for _ in 0..workers {
        let worker = Worker::builder(pool.clone())
            .queue("mail", 2)
            .release("1.4.2")
            .build()
            .await?;
        let metrics = worker.metrics().patience(Duration::from_secs(3));
        std::thread::spawn(move || serve(metrics));
        running.spawn(worker.run_until(taskq::shutdown_signal()));
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    Ok(())
}

/// Serves on a runtime of its own, so that it answers although a thread of the worker's hangs.
fn serve(metrics: Metrics) {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        println!("{}", listener.local_addr().expect("an address"));
        metrics.serve(listener).await;
    });
}

//! Give handlers what they need: configuration, clients, fakes. They borrow it from their worker.
//!
//! ```text
//! $ cargo run --example state
//! to ada@example.com from shop@example.com: welcome
//! counted in the background: 1
//! a worker without mailer does not start
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use taskq::testing::Database;
use taskq::{Worker, WorkerError};

/// A value: `&Config`.
struct Config {
    sender: String,
}

/// A trait object: `&dyn Mailer`. Tests give a fake.
trait Mailer: Send + Sync {
    fn send(&self, from: &str, to: &str, text: &str);
}

struct Printer;

impl Mailer for Printer {
    fn send(&self, from: &str, to: &str, text: &str) {
        println!("to {to} from {from}: {text}");
    }
}

/// A shared value, for what outlives the handler: `#[inject] Arc<Counter>`.
#[derive(Default)]
struct Counter(AtomicUsize);

/// `email` is owned, so it is the payload. What is borrowed or injected is the worker's.
#[taskq::task]
async fn welcome(
    config: &Config,
    mailer: &dyn Mailer,
    #[inject] counter: Arc<Counter>,
    email: String,
) -> anyhow::Result<()> {
    mailer.send(&config.sender, &email, "welcome");
    tokio::spawn(async move { counter.0.fetch_add(1, Relaxed) }).await?;
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = Database::fresh().await?;
    let pool = database.pool();
    let mut tx = pool.begin().await?;
    Welcome::enqueue(&mut tx, "ada@example.com".to_owned()).await?;
    tx.commit().await?;

    let counter = Arc::new(Counter::default());
    let sender = "shop@example.com".to_owned();
    Worker::builder(pool.clone())
        .state(Config { sender })
        .state_arc::<dyn Mailer>(Arc::new(Printer))
        .state_arc(counter.clone())
        .build()
        .await?
        .run_until(taskq_examples::all_finished(&pool))
        .await?;
    println!("counted in the background: {}", counter.0.load(Relaxed));

    // What is missing is said when the worker is built, not when a task needs it.
    let sender = String::new();
    let incomplete = Worker::builder(pool)
        .state(Config { sender })
        .state_arc(counter);
    if let Err(WorkerError::MissingState { .. }) = incomplete.build().await {
        println!("a worker without mailer does not start");
    }
    Ok(())
}

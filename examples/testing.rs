//! Test what you enqueue and what your handlers do, each by itself and both together.
//!
//! ```text
//! $ cargo run --example testing
//! the handler works
//! a signup enqueues the welcome mail
//! a worker sends it
//! ```
//!
//! The three functions would be three `#[tokio::test]`s. They run in `main` here, because this is an
//! example that is run.

use std::sync::{Arc, Mutex};

use sqlx::PgConnection;
use taskq::testing::{Database, drain};
use taskq::{Worker, assert_enqueued};

trait Mailer: Send + Sync {
    fn send(&self, to: &str);
}

#[taskq::task(queue = "mail")]
async fn send_welcome(mailer: &dyn Mailer, email: String, locale: Option<String>) {
    if locale.is_none_or(|locale| locale == "en") {
        mailer.send(&email);
    }
}

async fn sign_up(tx: &mut PgConnection, email: &str) -> anyhow::Result<()> {
    // … inserts the user …
    SendWelcome::enqueue(tx, email.to_owned(), None).await?;
    Ok(())
}

#[derive(Default)]
struct FakeMailer(Mutex<Vec<String>>);

impl FakeMailer {
    fn sent(&self) -> Vec<String> {
        self.0.lock().expect("nobody panics here").clone()
    }
}

impl Mailer for FakeMailer {
    fn send(&self, to: &str) {
        self.0
            .lock()
            .expect("nobody panics here")
            .push(to.to_owned());
    }
}

/// A handler is a function: call it.
async fn the_handler_works() {
    let mailer = FakeMailer::default();
    send_welcome(&mailer, "ada@example.com".to_owned(), None).await;
    assert_eq!(mailer.sent(), ["ada@example.com"]);
}

/// Ask in the test's own transaction. Nothing has to be committed, and no worker has to run.
async fn a_signup_enqueues_the_welcome_mail(database: &Database) -> anyhow::Result<()> {
    let mut tx = database.pool().begin().await?;
    sign_up(&mut tx, "ada@example.com").await?;
    let email = "ada@example.com";
    assert_enqueued!(&mut tx, SendWelcome { email, .. });
    Ok(())
}

/// Run what is due on the test's own database.
async fn a_worker_sends_it(database: &Database) -> anyhow::Result<()> {
    let pool = database.pool();
    let mut tx = pool.begin().await?;
    sign_up(&mut tx, "grace@example.com").await?;
    tx.commit().await?;

    let mailer = Arc::new(FakeMailer::default());
    let worker = Worker::builder(pool)
        .queue("mail", 1)
        .state_arc::<dyn Mailer>(mailer.clone());
    let counts = drain(worker).await?;
    assert_eq!((counts.completed, counts.total()), (1, 1));
    assert_eq!(mailer.sent(), ["grace@example.com"]);
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    the_handler_works().await;
    println!("the handler works");
    // Made in milliseconds, migrated, and dropped at the end.
    let database = Database::fresh().await?;
    a_signup_enqueues_the_welcome_mail(&database).await?;
    println!("a signup enqueues the welcome mail");
    a_worker_sends_it(&database).await?;
    println!("a worker sends it");
    Ok(())
}

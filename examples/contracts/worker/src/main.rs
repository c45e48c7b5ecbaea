//! The worker of the example `contracts`: it has the handlers, and the command line.
//!
//! ```text
//! cargo run -p contracts-worker -- run                               works until Ctrl-C
//! cargo run -p contracts-worker -- tasks                             lists the task types
//! cargo run -p contracts-worker -- tasks --check examples/contracts/taskq.lock.json
//! ```
//!
//! The last one belongs into the checks of every change: it refuses one that would strand rows that wait.
//! `tasks --lock` writes the file anew.

use std::process::ExitCode;

use contracts_payloads::SendEmailWelcome;
use sqlx::postgres::PgPoolOptions;
use taskq::Worker;
use taskq::testing::Cluster;

/// Sends the welcome mail, or here: says that it would.
///
/// The payload is declared elsewhere, so the task is the type `SendEmailWelcomeHandler`.
#[taskq::task(handles = SendEmailWelcome, timeout = "30s")]
async fn send_email_welcome(usr_id: i64, locale: Option<String>) {
    let locale = locale.as_deref().unwrap_or("en");
    println!("user {usr_id} gets a welcome mail in {locale}");
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let cluster = Cluster::persistent("contracts").await?;
    // Lazily: not every command needs the database.
    let pool = PgPoolOptions::new().connect_lazy(&cluster.url("contracts"))?;
    let worker = Worker::builder(pool)
        .queue("mail", 5)
        .only::<(SendEmailWelcomeHandler,)>();
    Ok(taskq::cli::main(worker).await)
}

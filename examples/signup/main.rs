//! The signup program: one SQL statement writes a user and a task, and a worker sends the mail.
//!
//! ```text
//! cargo run --example signup           the web server and a worker, in one process
//! cargo run --example signup web       the web server alone
//! cargo run --example signup worker    a worker alone; start as many as you like
//! ```
//!
//! All of them share one Postgres, which is found or started by itself: see `taskq::testing`.
//! `DATABASE_URL` names another one, `ADDR` where the web server listens, `SMTP_URL` the server
//! that mails go to; without it the web server receives them itself and shows them on its page.
//!
//! Read on in `signup.sql`, `tasks.rs` and `web.rs`, in this order.

mod database;
mod mail;
mod sink;
mod tasks;
mod web;

use anyhow::bail;
use sqlx::PgPool;
use taskq::testing::Cluster;

use crate::mail::Mailer;
use crate::sink::Sink;

/// What this process does.
enum Role {
    WebAndWorker,
    Web,
    Worker,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    taskq_examples::log_to_stderr();
    let role = role()?;
    let cluster = Cluster::persistent("signup").await?;
    let pool = database::open(&cluster.url("signup")).await?;
    let ran = run(&role, &pool).await;

    // Postgres is the last to stop: when `cluster` is dropped, unless other processes use it still.
    pool.close().await;
    ran
}

fn role() -> anyhow::Result<Role> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Ok(Role::WebAndWorker),
        ["web"] => Ok(Role::Web),
        ["worker"] => Ok(Role::Worker),
        _ => bail!("usage: signup [web|worker]"),
    }
}

/// Runs until Ctrl-C, or until the process is asked to terminate.
async fn run(role: &Role, pool: &PgPool) -> anyhow::Result<()> {
    match role {
        Role::Worker => work(pool).await,
        Role::Web => {
            let listener = web::listen().await?;
            let _sink = Sink::unless_configured(pool).await?;
            web::serve(listener, pool).await
        }
        Role::WebAndWorker => {
            let listener = web::listen().await?;
            // It outlives the worker, whose last handlers may be talking to it.
            let _sink = Sink::unless_configured(pool).await?;
            tokio::try_join!(web::serve(listener, pool), work(pool))?;
            Ok(())
        }
    }
}

async fn work(pool: &PgPool) -> anyhow::Result<()> {
    taskq::Worker::builder(pool.clone())
        .state(Mailer::from_env(pool)?)
        .queue("default", database::HANDLERS)
        .build()
        .await?
        .run_until(taskq::shutdown_signal())
        .await?;
    Ok(())
}

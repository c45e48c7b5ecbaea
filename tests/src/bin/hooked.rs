//! A worker with a hook, in a process of its own, for the tests to kill between an outcome and what is told of it.

use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use sqlx::{PgConnection, PgPool, query};
use taskq::error::BoxError;
use taskq::hooks::{BoxFuture, EndedAttempt, Wants};
use taskq::{Hook, Worker, task};

#[task]
async fn hooked() {}

#[task]
async fn hooked_in_tx(_tx: &mut PgConnection) {}

#[task]
async fn told() {}

/// Leaves an effect with the completion of each task, and one afterwards.
struct Effects(PgPool);

impl Hook for Effects {
    fn wants(&self, task_type: &str) -> Wants {
        match task_type {
            "told" => Wants::AFTER,
            _ => Wants::IN_TX | Wants::AFTER,
        }
    }

    fn in_tx<'a>(
        &'a self,
        attempt: &'a EndedAttempt,
        tx: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        Box::pin(async move {
            let insert = query("insert into effect values ($1)");
            insert.bind(attempt.task_id).execute(tx).await?;
            Ok(())
        })
    }

    fn after<'a>(&'a self, attempt: &'a EndedAttempt) -> BoxFuture<'a, Result<(), BoxError>> {
        Box::pin(async move {
            let insert = query("insert into told values ($1)");
            insert.bind(attempt.task_id).execute(&self.0).await?;
            Ok(())
        })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pool = PgPoolOptions::new()
        .max_connections(10)
        .connect(&std::env::var("DATABASE_URL")?)
        .await?;
    Worker::builder(pool.clone())
        .only::<(Hooked, HookedInTx, Told)>()
        .queue("default", 2)
        .lease(Duration::from_secs(1))
        .hook(Effects(pool))
        .build()
        .await?
        .run_until(taskq::shutdown_signal())
        .await?;
    Ok(())
}

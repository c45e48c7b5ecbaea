//! The first release of a program, for the tests to run beside the second.

use sqlx::PgConnection;
use taskq::task;
use taskq_tests::release;

#[task]
async fn deliver(tx: &mut PgConnection, n: i64) -> sqlx::Result<()> {
    sqlx::query("insert into delivery (n, enqueued_by, run_by) values ($1, 1, 1)")
        .bind(n)
        .execute(tx)
        .await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    release::main::<(Deliver,), _>(|n| Deliver { n }).await
}

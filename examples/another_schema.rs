//! Tables in another schema: several queues in one database that know nothing of each other.
//!
//! ```text
//! $ cargo run --example another_schema
//! waiting in taskq: 0, in mail_tasks: 1, in report_tasks: 1
//! the worker of mail_tasks runs: mail
//! waiting in taskq: 0, in mail_tasks: 0, in report_tasks: 1
//! ```

use sqlx::PgPool;
use taskq::testing::Database;
use taskq::{Schema, Worker};

#[taskq::task]
async fn say(what: String) {
    println!("the worker of mail_tasks runs: {what}");
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = Database::fresh().await?; // has the tables in `taskq`
    let pool = database.pool();

    // A schema is a value, with the functions of the crate's root as its methods.
    let mails = Schema::named("mail_tasks")?;
    let reports = Schema::named("report_tasks")?;
    mails.migrate(&pool).await?;
    reports.migrate(&pool).await?;

    let mut tx = pool.begin().await?;
    let what = "mail".to_owned();
    mails.enqueue(&mut tx, Say { what }).await?;
    let what = "report".to_owned();
    reports.enqueue(&mut tx, Say { what }).await?;
    tx.commit().await?;
    print_waiting(&pool).await?;

    Worker::builder(pool.clone())
        .schema(mails)
        .build()
        .await?
        .run_until(taskq_examples::all_finished_in(mails, &pool))
        .await?;
    print_waiting(&pool).await?;
    Ok(())
}

async fn print_waiting(pool: &PgPool) -> sqlx::Result<()> {
    let waiting: String = sqlx::query_scalar(
        "select format(
             'in taskq: %s, in mail_tasks: %s, in report_tasks: %s',
             (select count(*) from taskq.tasks),
             (select count(*) from mail_tasks.tasks),
             (select count(*) from report_tasks.tasks)
         )",
    )
    .fetch_one(pool)
    .await?;
    println!("waiting {waiting}");
    Ok(())
}

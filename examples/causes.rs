//! Two hundred tasks are dead: find out of what they died, and retry those of one cause at once.
//!
//! ```text
//! $ cargo run --example causes
//! 190 of send_mail: the server said 421, too busy
//! 10 of send_mail: no such address
//! retry: 190 tasks are frozen
//! retry: 190 done, 0 skipped, 0 failed
//! left: 10
//! ```

use taskq::operate::Filter;
use taskq::testing::Database;
use taskq::{Worker, testing};

#[taskq::task(max_attempts = 1)]
async fn send_mail(usr_id: u32) -> Result<(), String> {
    match usr_id % 20 {
        0 => Err(format!("usr {usr_id}: no such address")),
        _ => Err(format!("usr {usr_id}: the server said 421, too busy")),
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = Database::fresh().await?;
    let pool = database.pool();
    let mut db = pool.acquire().await?;
    let mails = (1..=200).map(|usr_id| SendMail { usr_id });
    taskq::enqueue_many(&mut db, mails).await?;
    let worker = Worker::builder(pool.clone());
    testing::drain(worker).allow_failures().await?;

    let operator = taskq::operate(&pool).as_user("ada");
    let causes = operator.causes(&Filter::default()).await?.causes;
    for cause in &causes {
        let error = cause.error.as_deref().unwrap_or_default();
        let (_, error) = error.split_once(": ").unwrap_or_default();
        println!("{} of {}: {error}", cause.total, cause.task_type);
    }

    // What differs in numbers alone has one cause, and that is a term of a filter.
    let busy: Filter = format!("cause:{}", causes[0].cause).parse()?;
    let frozen = operator
        .retry_all(&busy)
        .because("the server is back")
        .await?;
    println!("{}: {} tasks are frozen", frozen.verb, frozen.frozen);
    let ended = operator.run_bulk(frozen.bulk_id, |_| ()).await?;
    let (done, skipped, failed) = (ended.done, ended.skipped, ended.failed);
    println!(
        "{}: {done} done, {skipped} skipped, {failed} failed",
        ended.verb
    );

    let left = operator.list(&"state:dead".parse()?).await?.tasks;
    println!("left: {}", left.len());
    Ok(())
}

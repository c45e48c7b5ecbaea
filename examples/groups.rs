//! Run a task when all members of a group have ended.
//!
//! ```text
//! $ cargo run --example groups
//! 4 tasks in one round trip
//! newsletter 7: 3 of 4 mails were sent, 1 was not
//! newsletter 8: 0 of 0 mails were sent, 0 were not
//! ```

use taskq::testing::{Database, drain};
use taskq::{Attempt, Group, Many, NewTask, Worker, outcome};

#[taskq::task]
async fn send_mail(usr_id: i64) -> anyhow::Result<()> {
    if usr_id == 13 {
        Err(outcome::discard("no such address"))?;
    }
    Ok(())
}

/// The same for those who want it on paper.
#[taskq::task]
async fn print_letter(usr_id: i64, copies: u32) {
    let _ = (usr_id, copies);
}

/// Runs once for each group, when the last member has ended.
#[taskq::task]
async fn tell_sender(attempt: &Attempt, newsletter_id: i64) -> anyhow::Result<()> {
    let ended = attempt.group_ended().expect("the task of a group");
    let missing = ended.members - ended.completed;
    println!(
        "newsletter {newsletter_id}: {} of {} mails were sent, {missing} {} not",
        ended.completed,
        ended.members,
        if missing == 1 { "was" } else { "were" }
    );
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = Database::fresh().await?;
    let pool = database.pool();
    let worker = || Worker::builder(pool.clone());

    let mut tx = pool.begin().await?;
    let group = Group::begin(&mut tx, TellSender { newsletter_id: 7 }).await?;
    let mut many = Many::new().group(group);
    for usr_id in [1, 2, 13] {
        many.push(SendMail { usr_id });
    }
    let letter = PrintLetter {
        usr_id: 4,
        copies: 1,
    };
    many.push(NewTask::of(letter).priority(5));
    let enqueued = many.enqueue(&mut tx).await?;
    println!("{} tasks in one round trip", enqueued.tasks().len());
    group.seal(&mut tx).await?;
    tx.commit().await?;
    drain(worker()).allow_failures().await?;

    // Nobody wanted this one. Its sender is told all the same.
    let mut tx = pool.begin().await?;
    let task = NewTask::of(TellSender { newsletter_id: 8 }).priority(-5);
    let group = Group::begin(&mut tx, task).await?;
    group.seal(&mut tx).await?;
    tx.commit().await?;
    drain(worker()).await?;
    Ok(())
}

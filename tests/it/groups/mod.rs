//! Groups: a task that runs once all members have ended, with their counts; and tasks of several types in one enqueue.

mod again;
mod beside;
mod closing;
mod exits;
mod many;
mod processes;

use std::time::Duration;

use sqlx::{PgConnection, PgPool};
use taskq::outcome::{cancel, discard, retry_in, snooze};
use taskq::testing::Database;
use taskq::{Attempt, Group, GroupEnded, WorkerBuilder, task};

use crate::support::{database, one, worker};

/// A member that ends as it is told.
#[task(max_attempts = 2)]
async fn member(how: String, attempt: &Attempt) -> anyhow::Result<()> {
    match (how.as_str(), attempt.number()) {
        ("fail", _) => Err(retry_in(Duration::ZERO).into()),
        ("fail once", 1) => Err(retry_in(Duration::ZERO).into()),
        ("snooze", _) => Err(snooze(Duration::from_secs(3_600)).into()),
        ("discard", _) => Err(discard("no use").into()),
        ("cancel", _) => Err(cancel("not wanted").into()),
        _ => Ok(()),
    }
}

/// The same, in its transaction.
#[task(max_attempts = 2)]
async fn member_in_tx(tx: &mut PgConnection, how: String) -> anyhow::Result<()> {
    sqlx::query("select 1").execute(tx).await?;
    match how.as_str() {
        "discard" => Err(discard("no use").into()),
        _ => Ok(()),
    }
}

/// A member that is kept, with its result.
#[task(result = "keep")]
async fn kept(n: i64) -> Result<i64, String> {
    Ok(n * n)
}

/// A member that adds others to its group.
#[task]
async fn branch(tx: &mut PgConnection, attempt: &Attempt, depth: u32) -> anyhow::Result<()> {
    let group = attempt.group().expect("a member");
    if depth > 0 {
        for _ in 0..2 {
            Branch::enqueue(tx, depth - 1).group(group).await?;
        }
    }
    Ok(())
}

/// What runs at last. It leaves what it was told in the database.
#[task]
async fn finish(tx: &mut PgConnection, attempt: &Attempt, name: String) -> anyhow::Result<()> {
    let ended = attempt.group_ended().expect("the task of a group");
    let GroupEnded {
        members,
        completed,
        discarded,
        cancelled,
        invalid,
        quarantined,
        expired,
        deleted,
        ..
    } = ended;
    let told = format!(
        "{name}: {members} = {completed} {discarded} {cancelled} {invalid} {quarantined} {expired} {deleted}"
    );
    sqlx::query("insert into told (what, group_id) values ($1, $2)")
        .bind(told)
        .bind(ended.group_id)
        .execute(tx)
        .await?;
    Ok(())
}

fn finish_as(name: &str) -> Finish {
    Finish { name: name.into() }
}

async fn told(pool: &PgPool) -> Vec<String> {
    one(
        pool,
        "select coalesce(array_agg(what order by what), '{}') from told",
    )
    .await
}

/// A database with a table for what `finish` was told.
async fn told_database() -> (Database, PgPool) {
    let (database, pool) = database().await;
    let make = "create table told (what text not null, group_id bigint not null)";
    sqlx::query(make).execute(&pool).await.expect("made");
    (database, pool)
}

fn all(pool: &PgPool) -> WorkerBuilder {
    worker(pool).only::<(Member, MemberInTx, Kept, Branch, Finish)>()
}

/// Begins a group of members that end in these ways, and seals it.
async fn group_of(pool: &PgPool, name: &str, hows: &[&str]) -> Group {
    let mut tx = pool.begin().await.expect("begun");
    let group = Group::begin(&mut tx, finish_as(name)).await.expect("begun");
    for how in hows {
        let added = Member::enqueue(&mut tx, (*how).into()).group(group).await;
        added.expect("added");
    }
    group.seal(&mut tx).await.expect("sealed");
    tx.commit().await.expect("committed");
    group
}

/// Runs what is due, and leaves what is due later.
async fn run_due(pool: &PgPool) {
    let ran = taskq::testing::drain(all(pool)).allow_failures().await;
    ran.expect("it drains");
}

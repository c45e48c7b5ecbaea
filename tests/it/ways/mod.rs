//! The same features under a worker, under `drain`, and inline in a transaction of the test: what the tables hold
//! afterwards is the same.

mod compare;
mod features;

use std::time::Duration;

use sqlx::{PgConnection, PgPool, query, query_scalar};
use taskq::error::BoxError;
use taskq::hooks::{BoxFuture, EndedAttempt, Wants};
use taskq::outcome::{cancel, discard, retry_in, snooze};
use taskq::{Attempt, Batch, Discarded, Hook, LazyTx, WorkerBuilder, task};

const MINUTE: Duration = Duration::from_secs(60);

async fn note(db: &mut PgConnection, what: impl Into<String>) -> sqlx::Result<()> {
    let insert = query("insert into noted (what) values ($1)").bind(what.into());
    insert.execute(db).await.map(drop_result)
}

fn drop_result<T>(_: T) {}

#[task(max_attempts = 3)]
async fn plain(how: String, attempt: &Attempt) -> anyhow::Result<()> {
    match (how.as_str(), attempt.number()) {
        ("fail", number) => anyhow::bail!("no luck {number}"),
        ("say and fail", _) => {
            attempt.progress(0.25, "a quarter");
            attempt.progress(2.0, "all but the last");
            anyhow::bail!("no luck")
        }
        ("say", _) => {
            attempt.progress(0.25, "a quarter");
            Ok(())
        }
        ("retry at once", 1) => Err(retry_in(Duration::ZERO).into()),
        ("retry at once always", _) => Err(retry_in(Duration::ZERO).into()),
        ("snooze", _) => Err(snooze(MINUTE).into()),
        ("discard", _) => Err(discard("too late").into()),
        ("cancel", _) => Err(cancel("nobody wants it").into()),
        ("panic", _) => panic!("out of paper"),
        ("hang", _) => std::future::pending().await,
        _ => Ok(()),
    }
}

#[task(timeout = "300ms")]
async fn hangs() {
    std::future::pending().await
}

#[task(max_attempts = 3, timeout = "1s")]
async fn in_tx(tx: &mut PgConnection, how: String, attempt: &Attempt) -> anyhow::Result<()> {
    note(tx, &how).await?;
    match (how.as_str(), attempt.number()) {
        ("fail", number) => anyhow::bail!("no luck {number}"),
        ("say and fail", _) => {
            attempt.progress(0.25, "a quarter");
            anyhow::bail!("no luck")
        }
        ("retry at once", 1) => Err(retry_in(Duration::ZERO).into()),
        ("snooze", _) => Err(snooze(MINUTE).into()),
        ("discard", _) => Err(discard("too late").into()),
        ("cancel", _) => Err(cancel("nobody wants it").into()),
        ("panic", _) => panic!("out of paper"),
        ("hang", _) => {
            query("select pg_sleep(60)").execute(tx).await?;
            Ok(())
        }
        ("swallow", _) => {
            let _ = query("select 1 / 0").execute(tx).await;
            Ok(())
        }
        ("defer", _) => {
            query("insert into later values (1), (1)")
                .execute(tx)
                .await?;
            Ok(())
        }
        ("enqueue", _) => {
            InTx::enqueue(tx, "enqueued".into()).await?;
            Ok(())
        }
        ("enqueue and fail", _) => {
            InTx::enqueue(tx, "enqueued".into()).await?;
            anyhow::bail!("after all")
        }
        _ => Ok(()),
    }
}

#[task(max_attempts = 3)]
async fn lazily(tx: &mut LazyTx, how: String) -> anyhow::Result<()> {
    match how.as_str() {
        "never begin" => return Ok(()),
        "fail before" => anyhow::bail!("no luck"),
        _ => {}
    }
    note(tx.begin().await?, &*how).await?;
    match how.as_str() {
        "fail" => anyhow::bail!("no luck"),
        "discard" => Err(discard("too late").into()),
        "panic" => panic!("out of paper"),
        _ => Ok(()),
    }
}

#[task(max_attempts = 1, on_discard = told)]
async fn tells(how: String) -> Result<(), String> {
    Err(format!("no luck: {how}"))
}

async fn told(
    payload: Tells,
    discarded: Discarded<'_>,
    tx: &mut PgConnection,
) -> anyhow::Result<()> {
    note(tx, discarded.error()).await?;
    match payload.how.as_str() {
        "refuse" => anyhow::bail!("not now"),
        "swallow" => {
            let _ = query("select 1 / 0").execute(tx).await;
            Ok(())
        }
        "defer" => {
            let twice = query("insert into later values (1), (1)");
            Ok(twice.execute(tx).await.map(drop_result)?)
        }
        _ => Ok(()),
    }
}

#[task(result = "keep")]
async fn sums_up(a: i64, b: i64) -> Result<i64, String> {
    Ok(a + b)
}

#[task(result = "keep")]
async fn sums_up_in_tx(tx: &mut PgConnection, a: i64, b: i64) -> sqlx::Result<i64> {
    query_scalar("select $1 + $2")
        .bind(a)
        .bind(b)
        .fetch_one(tx)
        .await
}

#[task(unique(fields(id)))]
async fn one_of_a_kind(id: i64) {
    let _ = id;
}

#[task(sequence = order, on_dead = "block")]
async fn in_order(tx: &mut PgConnection, order: i64, step: i64) -> anyhow::Result<()> {
    note(tx, format!("{order}.{step}")).await?;
    match (order, step) {
        (1, 2) => Err(discard("lost").into()),
        _ => Ok(()),
    }
}

#[task(rate("2/h", burst = 2))]
async fn twice_an_hour() {}

#[task(concurrency(1, key = tenant))]
async fn by_tenant(tx: &mut PgConnection, tenant: i64) -> sqlx::Result<()> {
    note(tx, format!("tenant {tenant}")).await
}

#[task(fair = tenant)]
async fn in_turns(tx: &mut PgConnection, tenant: i64) -> sqlx::Result<()> {
    note(tx, format!("turn of {tenant}")).await
}

#[task(max_attempts = 3)]
async fn asks(how: String) -> anyhow::Result<()> {
    match how.as_str() {
        "fail" => anyhow::bail!("no luck"),
        "discard" | "discard, refused" => Err(discard("too late").into()),
        _ => Ok(()),
    }
}

#[task(max_attempts = 3)]
async fn asks_in_tx(tx: &mut PgConnection, how: String) -> anyhow::Result<()> {
    note(tx, &*how).await?;
    match how.as_str() {
        "fail" => anyhow::bail!("no luck"),
        "discard" | "discard, refused" => Err(discard("too late").into()),
        _ => Ok(()),
    }
}

#[task(max_attempts = 3)]
async fn asks_lazily(tx: &mut LazyTx, how: String) -> anyhow::Result<()> {
    match how.as_str() {
        "never begin" => Ok(()),
        _ => Ok(note(tx.begin().await?, &*how).await?),
    }
}

#[task(max_attempts = 1, on_discard = told_before)]
async fn asks_and_tells(how: String) -> Result<(), String> {
    Err(how)
}

async fn told_before(
    _: AsksAndTells,
    _: Discarded<'_>,
    tx: &mut PgConnection,
) -> anyhow::Result<()> {
    Ok(note(tx, "told").await?)
}

#[task(result = "keep")]
async fn asks_and_sums_up(a: i64, b: i64) -> Result<i64, String> {
    Ok(a + b)
}

/// Notes every end of the types whose names begin with `asks`, and refuses some.
struct Notes;

impl Hook for Notes {
    fn name(&self) -> &str {
        "notes"
    }

    fn wants(&self, task_type: &str) -> Wants {
        match task_type.starts_with("asks") {
            true => Wants::IN_TX,
            false => Wants::NOTHING,
        }
    }

    fn in_tx<'a>(
        &'a self,
        attempt: &'a EndedAttempt,
        tx: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        Box::pin(async move {
            note(tx, format!("hook: {}", attempt.outcome.name())).await?;
            let payload = attempt.payload();
            if payload.contains("refused") {
                return Err("not now".into());
            }
            if payload.contains("hook panics") {
                panic!("out of ink");
            }
            if payload.contains("hook swallows") {
                let _ = query("select 1 / 0").execute(&mut *tx).await;
            }
            if payload.contains("hook defers") {
                let twice = query("insert into later values (1), (1)");
                twice.execute(&mut *tx).await?;
            }
            if payload.contains("hook hangs") {
                std::future::pending::<()>().await;
            }
            Ok(())
        })
    }
}

#[task]
async fn pays(#[secret] card: String) -> Result<(), String> {
    Err(format!("{card} is not accepted"))
}

#[task(queue = "ways_other")]
async fn elsewhere(tx: &mut PgConnection) -> sqlx::Result<()> {
    note(tx, "elsewhere").await
}

/// A member of a group, which adds another if it is to.
#[task(max_attempts = 1)]
async fn of_group(tx: &mut PgConnection, attempt: &Attempt, how: String) -> anyhow::Result<()> {
    match how.as_str() {
        "add" => {
            let group = attempt.group().expect("a member");
            Plain::enqueue(tx, "succeed".into()).group(group).await?;
            Ok(())
        }
        _ => anyhow::bail!("no luck"),
    }
}

#[task]
async fn at_last(tx: &mut PgConnection, attempt: &Attempt) -> sqlx::Result<()> {
    let ended = attempt.group_ended().expect("the task of a group");
    note(
        tx,
        format!("{} of {} completed", ended.completed, ended.members),
    )
    .await
}

#[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
#[taskq(max_attempts = 3)]
struct OneOfMany {
    how: String,
}

#[task]
async fn many(#[batch(4, "1s")] all: Vec<OneOfMany>, batch: &Batch) -> Vec<anyhow::Result<()>> {
    let outcome = |it: &OneOfMany, attempt: &Attempt| match &*it.how {
        "fail" => anyhow::bail!("no luck"),
        "discard" => Err(discard("too late").into()),
        "cancel" => {
            attempt.cancel("nobody wants it");
            Ok(())
        }
        _ => Ok(()),
    };
    let each = all.iter().zip(batch);
    each.map(|(it, attempt)| outcome(it, attempt)).collect()
}

#[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
#[taskq(max_attempts = 3)]
struct OneOfManyInTx {
    how: String,
}

#[task(on_discard = told_of_one)]
async fn many_in_tx(
    #[batch(4, "1s")] all: Vec<OneOfManyInTx>,
    tx: &mut PgConnection,
) -> anyhow::Result<()> {
    for it in &all {
        note(tx, &*it.how).await?;
        match &*it.how {
            "fail" => anyhow::bail!("no luck"),
            "discard" => Err(discard("too late"))?,
            "panic" => panic!("out of paper"),
            "defer" => {
                let twice = query("insert into later values (1), (1)");
                twice.execute(&mut *tx).await?;
            }
            _ => {}
        }
    }
    Ok(())
}

async fn told_of_one(
    payload: OneOfManyInTx,
    discarded: Discarded<'_>,
    tx: &mut PgConnection,
) -> sqlx::Result<()> {
    note(tx, format!("{}: {}", payload.how, discarded.error())).await
}

#[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
struct OneOfManyLazily {
    how: String,
}

#[task]
async fn many_lazily(
    #[batch(4, "1s")] all: Vec<OneOfManyLazily>,
    tx: &mut LazyTx,
) -> Vec<sqlx::Result<()>> {
    let mut each = Vec::new();
    for it in &all {
        let tx = tx.begin().await.expect("it begins");
        each.push(note(tx, &*it.how).await);
    }
    if all.iter().any(|it| it.how == "short") {
        each.pop();
    }
    each
}

/// One slot for each queue, so that the order is the same too.
fn all(pool: &PgPool) -> WorkerBuilder {
    taskq::Worker::builder(pool.clone())
        .queue("default", 1)
        .queue("ways_other", 1)
        .only::<(
            Plain,
            Hangs,
            InTx,
            Lazily,
            Tells,
            SumsUp,
            SumsUpInTx,
            OneOfAKind,
            InOrder,
            TwiceAnHour,
            ByTenant,
            InTurns,
            Pays,
            Elsewhere,
            OfGroup,
            AtLast,
            Asks,
            AsksInTx,
            AsksLazily,
            AsksAndTells,
            AsksAndSumsUp,
            ManyHandler,
            ManyInTxHandler,
            ManyLazilyHandler,
        )>()
        .hook(Notes)
}

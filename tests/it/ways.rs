//! The same features under a worker, under `drain`, and inline in a transaction of the test: what the tables hold
//! afterwards is the same.

use std::time::Duration;

use sqlx::{PgConnection, PgPool, query, query_as, query_scalar};
use taskq::error::BoxError;
use taskq::hooks::{BoxFuture, EndedAttempt, Wants};
use taskq::outcome::{cancel, discard, retry_in, snooze};
use taskq::testing::{drain, tx};
use taskq::{Attempt, Batch, Discarded, Group, Hook, LazyTx, Many, WorkerBuilder, task};

use crate::support::{database, execute, until, while_working};

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

/// What is enqueued, which states its tasks then have, and what was noted by handlers that kept what they did.
type Feature = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

const FEATURES: &[Feature] = &[
    ("plain: succeed", &[], &[]),
    ("plain: fail", &["waiting"], &[]),
    ("plain: fail at last", &["discarded"], &[]),
    ("plain: retry at once", &[], &[]),
    ("plain: retry at once always", &["discarded"], &[]),
    ("plain: snooze", &["waiting"], &[]),
    ("plain: discard", &["discarded"], &[]),
    ("plain: cancel", &["cancelled"], &[]),
    ("plain: panic", &["waiting"], &[]),
    ("hangs", &["waiting"], &[]),
    ("in tx: succeed", &[], &["succeed"]),
    ("in tx: fail", &["waiting"], &[]),
    ("in tx: fail at last", &["discarded"], &[]),
    ("in tx: retry at once", &[], &["retry at once"]),
    ("in tx: snooze", &["waiting"], &[]),
    ("in tx: discard", &["discarded"], &[]),
    ("in tx: cancel", &["cancelled"], &[]),
    ("in tx: panic", &["waiting"], &[]),
    ("in tx: hang", &["waiting"], &[]),
    ("in tx: swallow", &["waiting"], &[]),
    ("in tx: defer", &["waiting"], &[]),
    ("in tx: enqueue", &[], &["enqueue", "enqueued"]),
    ("in tx: enqueue and fail", &["waiting"], &[]),
    ("lazily: succeed", &[], &["succeed"]),
    ("lazily: never begin", &[], &[]),
    ("lazily: fail before", &["waiting"], &[]),
    ("lazily: fail", &["waiting"], &[]),
    ("lazily: discard", &["discarded"], &[]),
    ("lazily: panic", &["waiting"], &[]),
    ("on discard: tell", &["discarded"], &["no luck: tell"]),
    ("on discard: refuse", &["waiting"], &[]),
    ("on discard: swallow", &["waiting"], &[]),
    ("on discard: defer", &["waiting"], &[]),
    ("asks: agreed", &[], &["hook: completed"]),
    ("asks: refused", &["waiting"], &[]),
    ("asks: refused at last", &["waiting"], &[]),
    ("asks: hook panics", &["waiting"], &[]),
    ("asks: hook swallows", &["waiting"], &[]),
    ("asks: hook defers", &["waiting"], &[]),
    ("asks: fail", &["waiting"], &[]),
    ("asks: fail at last", &["discarded"], &["hook: discarded"]),
    ("asks: discard", &["discarded"], &["hook: discarded"]),
    ("asks: discard, refused", &["waiting"], &[]),
    ("asks in tx: agreed", &[], &["agreed", "hook: completed"]),
    ("asks in tx: refused", &["waiting"], &[]),
    ("asks in tx: refused at last", &["waiting"], &[]),
    ("asks in tx: hook panics", &["waiting"], &[]),
    ("asks in tx: hook swallows", &["waiting"], &[]),
    ("asks in tx: fail", &["waiting"], &[]),
    ("asks in tx: discard", &["discarded"], &["hook: discarded"]),
    ("asks in tx: discard, refused", &["waiting"], &[]),
    ("asks lazily: agreed", &[], &["agreed", "hook: completed"]),
    ("asks lazily: never begin", &[], &["hook: completed"]),
    ("asks lazily: refused", &["waiting"], &[]),
    (
        "asks and tells: agreed",
        &["discarded"],
        &["told", "hook: discarded"],
    ),
    ("asks and tells: refused", &["waiting"], &[]),
    ("asks and sums up", &["completed"], &["hook: completed"]),
    ("batch: succeed", &[], &[]),
    (
        "batch: succeed, fail, discard, cancel",
        &["waiting", "discarded", "cancelled"],
        &[],
    ),
    ("batch: fail, wrong", &["waiting", "invalid"], &[]),
    ("batch in tx: a, b, c", &[], &["a", "b", "c"]),
    (
        "batch in tx: a, fail, c",
        &["waiting", "waiting", "waiting"],
        &[],
    ),
    ("batch in tx: a, panic", &["waiting", "waiting"], &[]),
    ("batch in tx: a, defer", &["waiting", "waiting"], &[]),
    (
        "batch in tx: a, discard",
        &["discarded", "discarded"],
        &["a: discarded: too late", "discard: discarded: too late"],
    ),
    ("batch lazily: a, b", &[], &["a", "b"]),
    ("batch lazily: a, short", &["waiting", "waiting"], &[]),
    ("result", &["completed"], &[]),
    ("result in tx", &["completed"], &[]),
    ("unique", &[], &[]),
    (
        "sequence",
        &["discarded", "waiting"],
        &["1.1", "2.1", "2.2"],
    ),
    ("rate", &["waiting"], &[]),
    ("concurrency by key", &[], &["tenant 1", "tenant 1"]),
    (
        "fair",
        &[],
        &["turn of 1", "turn of 2", "turn of 1", "turn of 2"],
    ),
    ("secret", &["waiting"], &[]),
    ("invalid", &["invalid"], &[]),
    ("expired", &["expired"], &[]),
    ("plain: say and fail", &["waiting"], &[]),
    ("plain: say", &[], &[]),
    ("in tx: say and fail", &["waiting"], &[]),
    ("later", &["waiting"], &[]),
    ("paused", &["waiting"], &[]),
    ("unknown", &["waiting"], &[]),
    ("priority", &[], &["first", "second", "third"]),
    ("other queue", &[], &["elsewhere"]),
    (
        "group",
        &["discarded", "completed", "discarded"],
        &["3 of 5 completed"],
    ),
    ("group of none", &[], &["0 of 0 completed"]),
];

async fn enqueue(name: &str, db: &mut PgConnection) {
    let enqueued = match name {
        "hangs" => Hangs::enqueue(db).await.map(drop_result),
        "result" => SumsUp::enqueue(db, 2, 3).await.map(drop_result),
        "result in tx" => SumsUpInTx::enqueue(db, 2, 3).await.map(drop_result),
        "unique" => {
            for _ in 0..2 {
                OneOfAKind::enqueue(db, 7).await.expect("enqueued");
            }
            Ok(())
        }
        "sequence" => {
            for (order, step) in [(1, 1), (2, 1), (1, 2), (1, 3), (2, 2)] {
                InOrder::enqueue(db, order, step).await.expect("enqueued");
            }
            Ok(())
        }
        "rate" => {
            for _ in 0..3 {
                TwiceAnHour::enqueue(db).await.expect("enqueued");
            }
            Ok(())
        }
        "concurrency by key" => {
            for tenant in [1, 1] {
                ByTenant::enqueue(db, tenant).await.expect("enqueued");
            }
            Ok(())
        }
        "fair" => {
            for tenant in [1, 1, 2, 2] {
                InTurns::enqueue(db, tenant).await.expect("enqueued");
            }
            Ok(())
        }
        "asks and sums up" => AsksAndSumsUp::enqueue(db, 2, 3).await.map(drop_result),
        "secret" => Pays::enqueue(db, "4000-0000-1234".into()).await.map(drop_result),
        "group" | "group of none" => {
            let group = Group::begin(db, AtLast {}).await.expect("begun");
            if name == "group" {
                let mut many = Many::new().group(group);
                many.push(OfGroup { how: "fail".into() });
                many.push(OfGroup { how: "add".into() });
                many.push(SumsUp { a: 2, b: 3 });
                many.push(Plain { how: "discard".into() });
                many.enqueue(db).await.expect("enqueued");
            }
            group.seal(db).await
        }
        "later" => Plain::enqueue(db, "later".into()).delay(MINUTE).await.map(drop_result),
        "other queue" => Elsewhere::enqueue(db).await.map(drop_result),
        "priority" => {
            for (how, priority) in [("third", 3), ("first", 1), ("second", 2)] {
                let task = InTx::enqueue(db, how.into()).priority(priority);
                task.await.expect("enqueued");
            }
            Ok(())
        }
        "invalid" => return say(db, r#"insert into taskq.task (task_type, payload) values ('plain', '{"how": 7}')"#).await,
        "expired" => return say(
            db,
            r#"insert into taskq.task (task_type, payload, metadata)
               values ('plain', '{"how": "succeed"}', jsonb_build_object('task.expires', '2020-01-01T00:00:00Z'))"#,
        ).await,
        "unknown" => return say(db, "insert into taskq.task (task_type) values ('nobody_knows')").await,
        "paused" => {
            say(db, "select taskq.pause_task_type('plain')").await;
            Plain::enqueue(db, "succeed".into()).await.map(drop_result)
        }
        _ => {
            let (kind, how) = name.split_once(": ").expect("a feature");
            let most = if how.ends_with(" at last") { 1 } else { 3 };
            let how = how.trim_end_matches(" at last").to_owned();
            match kind {
                "batch" | "batch in tx" | "batch lazily" => {
                    for how in how.split(", ").map(str::to_owned) {
                        let one = match kind {
                            "batch" => OneOfMany::enqueue(db, how).await.map(drop_result),
                            "batch in tx" => OneOfManyInTx::enqueue(db, how).await.map(drop_result),
                            _ => OneOfManyLazily::enqueue(db, how).await.map(drop_result),
                        };
                        one.expect("enqueued");
                    }
                    say(db, r#"update taskq.task set payload = '{"how": 7}' where payload @> '{"how": "wrong"}'"#).await;
                    Ok(())
                }
                "plain" => Plain::enqueue(db, how).max_attempts(most).await.map(drop_result),
                "asks" => Asks::enqueue(db, how).max_attempts(most).await.map(drop_result),
                "asks in tx" => AsksInTx::enqueue(db, how).max_attempts(most).await.map(drop_result),
                "asks lazily" => AsksLazily::enqueue(db, how).await.map(drop_result),
                "asks and tells" => AsksAndTells::enqueue(db, how).await.map(drop_result),
                "lazily" => Lazily::enqueue(db, how).await.map(drop_result),
                "on discard" => Tells::enqueue(db, how).await.map(drop_result),
                _ => InTx::enqueue(db, how).max_attempts(most).await.map(drop_result),
            }
        }
    };
    enqueued.expect("enqueued");
}

async fn say(db: &mut PgConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(db).await.expect(sql);
}

/// What the tables hold, but for times.
#[derive(Debug, PartialEq)]
struct Afterwards {
    tasks: Vec<String>,
    noted: Vec<String>,
    keys: i64,
    progress: Vec<String>,
    states: Vec<String>,
}

async fn look(db: &mut PgConnection) -> Afterwards {
    let tasks: Vec<(String, String)> = query_as(
        "select state, format(
             '%s %s %s in %s, priority %s, attempts %s of %s, crashes %s, due %s, errors %s, result %s, metadata %s',
             task_id, task_type, state, queue, priority, attempts, max_attempts, crashes,
             case when run_at is null then 'never' when run_at > now() then 'later' else 'now' end,
             (
                 select string_agg(
                     format(
                         '%s: %s, known %s',
                         error ->> 'attempt',
                         error ->> 'error',
                         (select string_agg(key, ' ' order by key) from jsonb_object_keys(error) as key)
                     ),
                     '; '
                 )
                 from jsonb_array_elements(errors) as error
             ),
             result, metadata
         )
         from taskq.tasks order by task_id",
    )
    .fetch_all(&mut *db)
    .await
    .expect("the view is readable");
    let noted = query_scalar("select what from noted order by noted_id");
    let keys = query_scalar(
        "select count(*) from taskq.unique_key
         where exists (select from taskq.tasks where tasks.task_id = unique_key.task_id and state in ('waiting', 'running'))",
    );
    let progress = query_scalar(
        "select concat_ws(' ', task_id, attempt, fraction, said) from taskq.progress order by task_id",
    );
    let (states, tasks) = tasks.into_iter().unzip();
    Afterwards {
        tasks,
        states,
        noted: noted.fetch_all(&mut *db).await.expect("noted"),
        progress: progress.fetch_all(&mut *db).await.expect("progress"),
        keys: keys.fetch_one(&mut *db).await.expect("keys"),
    }
}

async fn prepared() -> (taskq::testing::Database, PgPool) {
    let (database, pool) = database().await;
    execute(
        &pool,
        "create table noted (noted_id bigint generated always as identity, what text not null);
         create table later (n int unique deferrable initially deferred);
         -- On a slow machine no backoff is over before the end.
         create function put_off() returns trigger language plpgsql as
             $$ begin new.run_at := new.run_at + interval '1 hour'; return new; end $$;
         create trigger put_off before insert on taskq.task for each row
             when ((new.attempts > 0 or new.metadata ? 'task.discard') and new.run_at > now() + interval '1 second') execute function put_off()",
    )
    .await;
    (database, pool)
}

async fn by_worker(name: &'static str) -> Afterwards {
    let (_database, pool) = prepared().await;
    let mut db = pool.acquire().await.expect("a connection");
    enqueue(name, &mut db).await;
    let is_done = "select not exists (
        select from taskq.tasks
        where state = 'running' or state = 'waiting' and run_at <= now() and attempts = 0
          and task_type not in ('nobody_knows', 'twice_an_hour', 'in_order')
          and not exists (select from taskq.pause where name = task_type)
    )";
    let settled = async || {
        // What is limited stays; nothing more happens once two looks are the same.
        let before = look(&mut pool.acquire().await.expect("a connection")).await;
        let done: bool = query_scalar(is_done).fetch_one(&pool).await.expect("done");
        tokio::time::sleep(Duration::from_millis(300)).await;
        done && before == look(&mut pool.acquire().await.expect("a connection")).await
    };
    while_working(all(&pool), until("settled", settled)).await;
    look(&mut db).await
}

async fn by_drain(name: &'static str) -> Afterwards {
    let (_database, pool) = prepared().await;
    let mut db = pool.acquire().await.expect("a connection");
    enqueue(name, &mut db).await;
    let drained = drain(all(&pool)).allow_failures().await;
    drained.expect("it drains");
    look(&mut db).await
}

async fn inline(name: &'static str) -> Afterwards {
    let (_database, pool) = prepared().await;
    let mut tx = tx(&pool).await.expect("a transaction");
    enqueue(name, &mut tx).await;
    let drained = drain(all(&pool)).in_tx(&mut tx).allow_failures().await;
    drained.expect("it drains");
    let afterwards = look(&mut tx).await;
    drop(tx);
    let nothing = look(&mut pool.acquire().await.expect("a connection")).await;
    assert!(nothing.tasks.is_empty(), "{name}: {nothing:?}");
    assert!(nothing.noted.is_empty(), "{name}: {nothing:?}");
    afterwards
}

async fn compare(features: impl Iterator<Item = &'static Feature>) {
    let mut wrong = Vec::new();
    for (name, states, noted) in features {
        let (worker, drain, inline) = tokio::join!(by_worker(name), by_drain(name), inline(name));
        if worker.states != *states || worker.noted != *noted {
            wrong.push(format!(
                "{name}: expected {states:?} and {noted:?}, not {worker:#?}"
            ));
        }
        if drain != worker {
            wrong.push(format!("{name}: drain {drain:#?}, worker {worker:#?}"));
        }
        if inline != worker {
            wrong.push(format!("{name}: inline {inline:#?}, worker {worker:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn handlers_without_a_transaction_end_the_same_in_all_three_ways() {
    let is_plain = |(name, ..): &&Feature| name.starts_with("plain") || *name == "hangs";
    compare(FEATURES.iter().filter(is_plain)).await;
}

#[tokio::test]
async fn handlers_with_a_transaction_end_the_same_in_all_three_ways() {
    compare(FEATURES.iter().filter(is_in_tx)).await;
}

fn is_in_tx((name, ..): &&'static Feature) -> bool {
    name.starts_with("in tx") || name.starts_with("lazily")
}

#[tokio::test]
async fn hooks_are_asked_the_same_in_all_three_ways() {
    compare(
        FEATURES
            .iter()
            .filter(|(name, ..)| name.starts_with("asks")),
    )
    .await;
}

#[tokio::test]
async fn what_a_type_or_an_enqueue_says_holds_in_all_three_ways() {
    let is_one = |it: &&'static Feature| {
        !["plain", "hangs", "asks"]
            .iter()
            .any(|name| it.0.starts_with(name))
            && !is_in_tx(it)
    };
    compare(FEATURES.iter().filter(is_one)).await;
}

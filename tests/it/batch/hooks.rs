//! Hooks are asked, and told, about each task of a call.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use sqlx::PgConnection;
use taskq::error::BoxError;
use taskq::hooks::{BoxFuture, EndedAttempt, Wants};
use taskq::{AttemptOutcome, Hook};

use super::*;
use crate::support::{count_effects, effects};

#[derive(Serialize, Deserialize, taskq::Payload)]
#[taskq(max_attempts = 3)]
struct Asked {
    n: i64,
}

#[derive(Serialize, Deserialize, taskq::Payload)]
#[taskq(max_attempts = 3)]
struct AskedInTx {
    n: i64,
}

#[task(retry = "fixed(50ms)")]
async fn asked(#[batch(4, "20ms")] all: Vec<Asked>, pool: &PgPool) -> sqlx::Result<()> {
    let n: Vec<i64> = all.iter().map(|it| it.n).collect();
    let insert = "insert into effect select unnest($1::bigint[])";
    sqlx::query(insert).bind(n).execute(pool).await.map(drop)
}

#[task(retry = "fixed(50ms)")]
async fn asked_in_tx(
    #[batch(4, "20ms")] all: Vec<AskedInTx>,
    tx: &mut PgConnection,
) -> sqlx::Result<()> {
    let n: Vec<i64> = all.iter().map(|it| it.n).collect();
    let insert = "insert into effect select unnest($1::bigint[])";
    sqlx::query(insert).bind(n).execute(tx).await.map(drop)
}

/// Refuses that 3 completes, and writes what it agrees to.
#[derive(Default)]
struct Refuses(Mutex<Vec<(i64, &'static str)>>);

fn n_of(attempt: &EndedAttempt) -> i64 {
    let payload: serde_json::Value = serde_json::from_str(attempt.payload()).expect("JSON");
    payload["n"].as_i64().expect("a number")
}

impl Hook for Refuses {
    fn name(&self) -> &str {
        "refuses"
    }

    fn wants(&self, _: &str) -> Wants {
        Wants::IN_TX | Wants::AFTER
    }

    fn in_tx<'a>(
        &'a self,
        attempt: &'a EndedAttempt,
        tx: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        Box::pin(async move {
            let n = n_of(attempt);
            let insert = sqlx::query("insert into effect values ($1)").bind(1_000 + n);
            insert.execute(tx).await?;
            match n == 3 && attempt.outcome == AttemptOutcome::Completed {
                true => Err("not three".into()),
                false => Ok(()),
            }
        })
    }

    fn after<'a>(&'a self, attempt: &'a EndedAttempt) -> BoxFuture<'a, Result<(), BoxError>> {
        let told = (n_of(attempt), attempt.outcome.name());
        self.0.lock().expect("no panic").push(told);
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Runs four tasks to their ends. Returns what was told of each.
async fn told_of_four(pool: &PgPool) -> BTreeMap<i64, Vec<&'static str>> {
    let hook = Arc::new(Refuses::default());
    let worker = worker(pool)
        .only::<(AskedHandler, AskedInTxHandler)>()
        .hook(hook.clone());
    let ended = |told: &[(i64, &str)]| {
        let is_end = |name: &str| matches!(name, "completed" | "discarded");
        told.iter().filter(|(_, name)| is_end(name)).count()
    };
    while_working(
        worker,
        until("all have ended and were told of", async || {
            ended(&hook.0.lock().expect("no panic")) == 4
                && !states(pool).await.contains_key("waiting")
        }),
    )
    .await;
    let mut of = BTreeMap::<i64, Vec<_>>::new();
    for (n, name) in hook.0.lock().expect("no panic").iter() {
        of.entry(*n).or_default().push(*name);
    }
    of
}

#[tokio::test]
async fn what_a_hook_refuses_of_one_task_fails_for_that_task_alone() {
    let (_database, pool) = database().await;
    effects(&pool).await;
    enqueue(&pool, (1..=4).map(|n| Asked { n })).await;
    let told = told_of_four(&pool).await;
    for n in [1, 2, 4] {
        assert_eq!(told[&n], ["completed"], "{n}");
    }
    assert_eq!(told[&3], ["retry", "retry", "discarded"]);
    let agreed = "select string_agg(n::text, ' ' order by n) from effect where n > 1000";
    assert_eq!(one::<String>(&pool, agreed).await, "1001 1002 1003 1004");
    let error: String = one(&pool, "select errors -> -1 ->> 'error' from taskq.dead").await;
    assert!(
        error.contains("`refuses`") && error.contains("not three"),
        "{error}"
    );
}

#[tokio::test]
async fn what_a_hook_refuses_in_the_transaction_of_a_call_undoes_all_of_it() {
    let (_database, pool) = database().await;
    effects(&pool).await;
    enqueue(&pool, (1..=4).map(|n| AskedInTx { n })).await;
    let told = told_of_four(&pool).await;
    for n in [1, 2, 4] {
        let (last, before) = told[&n].split_last().expect("told");
        assert_eq!(*last, "completed", "{n}");
        assert!(
            !before.is_empty() && before.iter().all(|it| *it == "retry"),
            "{n}: {before:?}"
        );
    }
    assert_eq!(told[&3], ["retry", "retry", "discarded"]);
    // Each once: what was written beside the one that was refused is not there.
    let effects = "select string_agg(n::text, ' ' order by n) from effect";
    assert_eq!(
        one::<String>(&pool, effects).await,
        "1 2 4 1001 1002 1003 1004"
    );
    assert_eq!(count_effects(&pool).await, (7, 7));
    let dead = "select payload ->> 'n' from taskq.dead where state = 'discarded'";
    assert_eq!(one::<String>(&pool, dead).await, "3");
}

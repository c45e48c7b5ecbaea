//! Whatever comes between a handler's end and its outcome: one event, and it tells what the table says.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{PgConnection, PgPool, query};
use taskq::events::Event;
use taskq::hooks::Wants;
use taskq::{Attempt, LazyTx, task};

use super::Remembers;
use crate::lease::fence::steal;
use crate::support::{database, execute, states, until, worker};

/// What becomes of the task while its handler runs, and how the handler then ends.
const HAPPENS: [&str; 4] = ["nothing", "cancel", "timeout", "lost"];
const ENDS: [&str; 4] = ["ok", "error", "panic", "commit error"];

async fn happen(what: &str, pool: &PgPool, task_id: i64) -> anyhow::Result<()> {
    match what {
        "cancel" => {
            taskq::operate(pool).cancel(task_id).await?;
        }
        "timeout" => std::future::pending().await,
        // Another worker has rescued it, and nobody may start it again.
        "lost" => {
            let pause = query(
                "select taskq.pause_task_type(name) from unnest(array['pair', 'pair_in_tx', 'pair_lazily']) as name",
            );
            pause.execute(pool).await?;
            steal(pool).await;
        }
        _ => {}
    }
    Ok(())
}

fn end(how: &str) -> anyhow::Result<()> {
    match how {
        "error" => anyhow::bail!("no luck"),
        "panic" => panic!("out of paper"),
        _ => Ok(()),
    }
}

#[task(timeout = "300ms", max_attempts = 1)]
async fn pair(pool: &PgPool, attempt: &Attempt, what: String, how: String) -> anyhow::Result<()> {
    happen(&what, pool, attempt.task_id()).await?;
    end(&how)
}

#[task(timeout = "300ms", max_attempts = 1)]
async fn pair_in_tx(
    tx: &mut PgConnection,
    pool: &PgPool,
    attempt: &Attempt,
    what: String,
    how: String,
) -> anyhow::Result<()> {
    if how == "commit error" {
        let twice = query("insert into later values (1), (1)");
        twice.execute(tx).await?;
    }
    happen(&what, pool, attempt.task_id()).await?;
    end(&how)
}

#[task(timeout = "300ms", max_attempts = 1)]
async fn pair_lazily(
    tx: &mut LazyTx,
    pool: &PgPool,
    attempt: &Attempt,
    what: String,
    how: String,
) -> anyhow::Result<()> {
    if how == "commit error" {
        let twice = query("insert into later values (1), (1)");
        twice.execute(tx.begin().await?).await?;
    }
    happen(&what, pool, attempt.task_id()).await?;
    end(&how)
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Kind {
    Plain,
    InTx,
    Lazily,
}

/// Runs one task, and returns what the table says of it and what was told of it, by the hook and by the events.
async fn run(kind: Kind, what: &str, how: &str) -> (String, Vec<String>) {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "create table later (n int unique deferrable initially deferred)",
    )
    .await;
    let mut db = pool.acquire().await.expect("a connection");
    let (say_what, say_how) = (what.to_owned(), how.to_owned());
    let enqueued = match kind {
        Kind::Plain => Pair::enqueue(&mut db, say_what, say_how).await.map(drop),
        Kind::InTx => PairInTx::enqueue(&mut db, say_what, say_how)
            .await
            .map(drop),
        Kind::Lazily => PairLazily::enqueue(&mut db, say_what, say_how)
            .await
            .map(drop),
    };
    enqueued.expect("enqueued");
    let hook = Arc::new(Remembers::new("pair", Wants::AFTER));
    let worker = worker(&pool)
        .only::<(Pair, PairInTx, PairLazily)>()
        .keep_completed(true)
        .hook(hook.clone())
        .build()
        .await
        .expect("the worker starts");
    let mut events = worker.events().subscribe();
    let told = async {
        until("told", async || !hook.told().is_empty()).await;
        until("ended", async || {
            !states(&pool).await.contains_key("running")
        })
        .await;
        // Time for a second one.
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    worker.run_until(told).await.expect("it stops");
    let told = hook.told();
    let mut heard = Vec::new();
    while let Some(event) = events.next().await {
        if let Ok(Event::AttemptEnded(it)) = event {
            heard.push((*it).clone());
        }
    }
    assert_eq!(
        heard, told,
        "{kind:?}, {what} and {how}: events and hooks hear the same"
    );
    let states: Vec<String> = states(&pool).await.into_keys().collect();
    let told = told.iter().map(|it| it.outcome.name().to_owned());
    (states.join(", "), told.collect())
}

#[tokio::test]
async fn one_event_tells_what_the_table_says() {
    let mut wrong = Vec::new();
    for what in HAPPENS {
        for how in ENDS {
            let kinds = [Kind::Plain, Kind::InTx, Kind::Lazily];
            for kind in kinds {
                if kind == Kind::Plain && how == "commit error" {
                    continue;
                }
                let (state, told) = run(kind, what, how).await;
                let (expected_state, expected) = match (what, how) {
                    ("cancel", _) => ("cancelled", "cancelled"),
                    ("lost", _) => ("waiting", "lost"),
                    ("nothing", "ok") => ("completed", "completed"),
                    _ => ("discarded", "discarded"),
                };
                if state != expected_state || told != [expected] {
                    wrong.push(format!(
                        "{kind:?}, {what} and {how}: expected {expected}, not {state} and {told:?}"
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

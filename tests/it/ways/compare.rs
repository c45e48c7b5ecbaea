//! Runs each feature in all three ways, and compares what the tables hold afterwards.

use std::time::Duration;

use sqlx::{PgConnection, PgPool, query_as, query_scalar};
use taskq::testing::{drain, tx};

use super::all;
use super::features::{FEATURES, Feature, enqueue};
use crate::support::{database, execute, until, while_working};

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
        where state = 'running' or state = 'waiting' and run_at <= now() + interval '1 second'
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

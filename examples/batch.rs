//! One call of a handler saves many events by one statement; one poisoned event of them fails alone.
//!
//! ```text
//! $ cargo run --example batch
//! 250 events in 3 calls: 100 100 50
//! one event of 40 is poisoned: 39 saved
//! dead: nobody@example.org
//! ```

use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use taskq::Worker;
use taskq::testing::Database;

/// How many events each call had.
type Calls = Mutex<Vec<usize>>;

#[derive(Serialize, Deserialize, taskq::Payload)]
#[taskq(max_attempts = 8)]
struct SaveEvent {
    who: String,
}

/// Each task is enqueued, fails and is found by itself. What this writes and their completions are one commit.
#[taskq::task(retry = "fixed(10ms)")]
async fn save_events(
    #[batch(100, "200ms")] events: Vec<SaveEvent>,
    tx: &mut PgConnection,
    calls: &Calls,
) -> sqlx::Result<()> {
    calls.lock().expect("nobody panics").push(events.len());
    let who: Vec<String> = events.into_iter().map(|event| event.who).collect();
    sqlx::query("insert into event select * from unnest($1::text[])")
        .bind(who)
        .execute(tx)
        .await?;
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = Database::fresh().await?;
    let pool = database.pool_of(30);
    sqlx::raw_sql("create table event (who text not null check (who not like 'nobody@%'))")
        .execute(&pool)
        .await?;
    let calls = Arc::new(Calls::default());
    let work = async || -> anyhow::Result<()> {
        let worker = Worker::builder(pool.clone())
            .queue("default", 1)
            .state_arc(calls.clone());
        let worker = worker.build().await?;
        worker
            .run_until(taskq_examples::all_finished(&pool))
            .await?;
        Ok(())
    };
    let mut db = pool.acquire().await?;

    let events = (0..250).map(|n| SaveEvent {
        who: format!("{n}@example.org"),
    });
    taskq::enqueue_many(&mut db, events).await?;
    work().await?;
    let sizes = std::mem::take(&mut *calls.lock().expect("nobody panics"));
    let count = sizes.len();
    let sizes: Vec<String> = sizes.iter().map(usize::to_string).collect();
    println!("250 events in {count} calls: {}", sizes.join(" "));

    // All are charged, and attempted again among half as many, until the poisoned one is alone.
    let events = (0..40).map(|n| SaveEvent {
        who: match n {
            17 => "nobody@example.org".to_owned(),
            n => format!("more{n}@example.org"),
        },
    });
    taskq::enqueue_many(&mut db, events).await?;
    work().await?;
    let saved = "select count(*) from event where who like 'more%'";
    let saved: i64 = sqlx::query_scalar(saved).fetch_one(&pool).await?;
    println!("one event of 40 is poisoned: {saved} saved");
    let dead = "select payload ->> 'who' from taskq.tasks where state = 'discarded'";
    let dead: Vec<String> = sqlx::query_scalar(dead).fetch_all(&pool).await?;
    println!("dead: {}", dead.join(" "));
    Ok(())
}

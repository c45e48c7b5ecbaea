//! What Postgres refuses: a row of a user's constraint, trigger or encoding must never hold up its neighbours.

mod claim;
mod history;
mod outcome;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::{AssertSqlSafe, PgPool, query_scalar};
use taskq::{WorkerBuilder, task};

use crate::support::worker;

#[task]
async fn welcome(usr_id: i64) -> Result<(), &'static str> {
    if usr_id < 0 {
        Err("no such user")
    } else {
        Ok(())
    }
}

#[task]
async fn innocent(count: &AtomicUsize) {
    count.fetch_add(1, Ordering::SeqCst);
}

#[task(result = "keep")]
pub(crate) async fn kept(runs: &Mutex<Vec<i64>>, usr_id: i64) -> Result<i64, &'static str> {
    runs.lock().expect("no panic").push(usr_id);
    Ok(usr_id)
}

fn rescuer(pool: &PgPool) -> WorkerBuilder {
    worker(pool)
        .only::<(Welcome, Innocent, Kept)>()
        .state(AtomicUsize::new(0))
        .state(Mutex::<Vec<i64>>::default())
        .lease(Duration::from_millis(500))
}

pub(crate) async fn count_of(pool: &PgPool, condition: &str) -> i64 {
    let sql = format!("select count(*) from taskq.tasks where {condition}");
    query_scalar(AssertSqlSafe(sql))
        .fetch_one(pool)
        .await
        .expect("a count")
}

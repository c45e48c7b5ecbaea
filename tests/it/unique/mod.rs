//! Tasks of which one at a time may be there.

mod again;
mod busy;
mod conflict;
mod declared;
mod lifetime;
mod many;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use sqlx::PgPool;
use taskq::unique::Unique;
use taskq::{EnqueueOutcome, task};
use tokio::sync::Semaphore;

/// Waits at a gate, so that a test can look while it runs.
struct Gate {
    reached: Semaphore,
    opens: Semaphore,
}

impl Gate {
    fn closed() -> Arc<Self> {
        Arc::new(Self {
            reached: Semaphore::new(0),
            opens: Semaphore::new(0),
        })
    }

    async fn pass(&self) {
        self.reached.add_permits(1);
        self.opens.acquire().await.expect("open").forget();
    }

    async fn reached(&self) {
        self.reached.acquire().await.expect("reached").forget();
    }
}

#[task]
async fn digest(gate: &Gate, _usr_id: i64, _text: String) -> Result<(), &'static str> {
    gate.pass().await;
    Ok(())
}

#[task]
async fn fails(_n: i64) -> Result<(), &'static str> {
    Err("not today")
}

#[task]
async fn sum(total: &AtomicI64, n: i64) {
    total.fetch_add(n, Ordering::SeqCst);
}

const WAITING: &str = "select count(*) from taskq.task";

const KEYS: &str = "select count(*) from taskq.unique_key";

fn by_user() -> Unique {
    Unique::new().fields(&["usr_id"])
}

async fn enqueue(pool: &PgPool, unique: Unique, usr_id: i64, text: &str) -> (i64, EnqueueOutcome) {
    let mut db = pool.acquire().await.expect("a connection");
    let enqueued = Digest::enqueue(&mut db, usr_id, text.to_owned()).unique(unique);
    let enqueued = enqueued.await.expect("enqueued");
    (enqueued.task_id, enqueued.outcome)
}

async fn texts(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar("select payload ->> 'text' from taskq.task order by task_id")
        .fetch_all(pool)
        .await
        .expect("texts")
}

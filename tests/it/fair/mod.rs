//! Fair turns: the keys of a type take turns, so that none waits behind another.

mod keys;
mod operate;
mod refused;
mod turns;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::PgPool;
use taskq::{Worker, WorkerBuilder, task};
use tokio::time::sleep;

/// The tenants of the tasks that have started, in their order.
type Starts = Mutex<Vec<i64>>;

#[task(fair = tenant_id)]
async fn render(starts: &Starts, tenant_id: i64) {
    starts.lock().expect("no panic").push(tenant_id);
    sleep(Duration::from_millis(10)).await;
}

fn renderer(pool: &PgPool, starts: &Arc<Starts>) -> WorkerBuilder {
    renderer_of(10, pool, starts)
}

fn renderer_of(slots: usize, pool: &PgPool, starts: &Arc<Starts>) -> WorkerBuilder {
    Worker::builder(pool.clone())
        .only::<(Render,)>()
        .queue("default", slots)
        .state_arc(starts.clone())
}

async fn enqueue(pool: &PgPool, tenant_id: i64, count: usize) {
    let mut db = pool.acquire().await.expect("a connection");
    let many = std::iter::repeat_n((), count).map(|()| Render { tenant_id });
    taskq::enqueue_many(&mut db, many).await.expect("enqueued");
}

fn started(starts: &Starts) -> Vec<i64> {
    starts.lock().expect("no panic").clone()
}

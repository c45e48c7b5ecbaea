//! Tenants take turns: one who has enqueued much holds up nobody, and a weight gives one of them more.
//!
//! ```text
//! $ cargo run --example fair
//! in turns: 1 2 3 1 2 1 2 1 2 1
//! render {"tenant_id":1}: weight 3
//! three to one: 1 1 1 2 1 1 1 2
//! ```

use std::sync::{Arc, Mutex};

use serde_json::json;
use taskq::Worker;
use taskq::testing::Database;

/// The tenants, as their pages were rendered.
type Rendered = Mutex<Vec<i64>>;

/// A field that does not exist does not compile.
#[taskq::task(fair = tenant_id)]
async fn render(rendered: &Rendered, tenant_id: i64) {
    rendered.lock().expect("nobody panics").push(tenant_id);
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = Database::fresh().await?;
    let pool = database.pool_of(30);
    let rendered = Arc::new(Rendered::default());
    // One page at a time, so that the order can be seen.
    let work = async || -> anyhow::Result<()> {
        let worker = Worker::builder(pool.clone())
            .queue("default", 1)
            .state_arc(rendered.clone());
        let worker = worker.build().await?;
        worker
            .run_until(taskq_examples::all_finished(&pool))
            .await?;
        Ok(())
    };
    let print = |what: &str, most: usize| {
        let mut rendered = rendered.lock().expect("nobody panics");
        let tenants = rendered.drain(..).take(most);
        let tenants: Vec<String> = tenants.map(|it| it.to_string()).collect();
        println!("{what}: {}", tenants.join(" "));
    };
    let mut db = pool.acquire().await?;

    // Tenant 1 comes first, with a hundred pages; then others with a few.
    for (tenant_id, pages) in [(1, 100), (2, 4), (3, 1)] {
        let pages = (0..pages).map(|_| Render { tenant_id });
        taskq::enqueue_many(&mut db, pages).await?;
    }
    work().await?;
    print("in turns", 10);

    // A program would have the name of who is logged in.
    let operator = taskq::operate(&pool).as_user("ada");
    operator
        .weight("render", json!({"tenant_id": 1}))
        .set(3)
        .await?;
    for it in operator.weights().await? {
        println!("{} {}: weight {}", it.task_type, it.key, it.weight);
    }
    for tenant_id in [1, 2] {
        let pages = (0..100).map(|_| Render { tenant_id });
        taskq::enqueue_many(&mut db, pages).await?;
    }
    work().await?;
    print("three to one", 8);
    Ok(())
}

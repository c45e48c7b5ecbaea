//! The web server of the example `contracts`: it enqueues, and links no handler.
//!
//! ```text
//! cargo run -p contracts-web                             serves http://127.0.0.1:3000
//! curl -X POST http://127.0.0.1:3000/signup/42           enqueues a task
//! cargo run -p contracts-worker -- run                   runs it
//! ```
//!
//! Both find the same Postgres by themselves; `DATABASE_URL` names another one.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use contracts_payloads::SendEmailWelcome;
use sqlx::PgPool;
use taskq::testing::Cluster;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cluster = Cluster::persistent("contracts").await?;
    let pool = PgPool::connect(&cluster.url("contracts")).await?;
    taskq::migrate(&pool).await?;
    let routes = Router::new()
        .route("/signup/{usr_id}", post(signup))
        .with_state(pool);
    let address = std::env::var("ADDR").unwrap_or_else(|_| "127.0.0.1:3000".into());
    let listener = TcpListener::bind(&address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, routes)
        .with_graceful_shutdown(async {
            taskq::shutdown_signal().await;
        })
        .await?;
    Ok(())
}

async fn signup(
    State(pool): State<PgPool>,
    Path(usr_id): Path<i64>,
) -> Result<String, (StatusCode, String)> {
    let enqueued = async {
        let mut tx = taskq::begin(&pool).await?;
        // Here the user would be inserted, in the same transaction.
        let task = SendEmailWelcome::enqueue(&mut tx, usr_id, None).await?;
        tx.commit().await?;
        anyhow::Ok(format!("task {}\n", task.task_id))
    };
    let refused = |error| (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}\n"));
    enqueued.await.map_err(refused)
}

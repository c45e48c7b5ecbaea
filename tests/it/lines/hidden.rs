//! Secret values in lines: they are not there, however they are said.

use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use taskq::encryption::Keys;
use taskq::{LogLayer, enqueue_many, task};

use super::{keep, logs};
use crate::secrets::{CANARY, assert_clean};
use crate::support::{database, drain, one, worker};

const KEYS: &str = "2026-11:ZGVhZGJlZWZkZWFkYmVlZmRlYWRiZWVmZGVhZGJlZWY=";

/// All that is stored of lines.
async fn stored(pool: &PgPool) -> String {
    one(pool, "select coalesce(string_agg(lines::text, ' ' order by log_id, chunk), '') from taskq.log_chunk").await
}

fn say_it(token: &str) {
    tracing::info!(token, other = token, debugged = ?token, "with {token} and {token:?}");
    tracing::info!(json = %serde_json::json!({"token": token}), "as JSON");
    let source = anyhow::anyhow!("no right with {token}").context("refused");
    let source: Box<dyn std::error::Error + Send + Sync> = source.into();
    tracing::error!(
        error = &*source as &(dyn std::error::Error + 'static),
        "as an error"
    );
}

#[task(max_attempts = 1)]
async fn tells(#[secret] token: String, #[secret] pin: i64) -> Result<(), String> {
    say_it(&token);
    tracing::info!(pin, n = 5, "pin");
    tracing::info!(number = 73_914_411, "a number");
    // Where a line is cut, a part of the value would stay.
    for before in 60..120 {
        tracing::info!("{}{token}{}", "x".repeat(before), "y".repeat(200));
    }
    for before in 0..20 {
        tracing::info!("{}{}", "x".repeat(before), token.repeat(40));
    }
    Err("no luck".into())
}

#[tokio::test]
async fn values_of_secret_fields_are_not_in_lines_however_they_are_said_or_cut() {
    let (_database, pool) = database().await;
    let _guard = keep(LogLayer::new().most_of_line(100));
    let mut db = pool.acquire().await.expect("a connection");
    let task = Tells::enqueue(&mut db, CANARY.into(), 73_914_411)
        .await
        .expect("enqueued");
    drain(worker(&pool).only::<(Tells,)>(), &pool).await;
    let stored = stored(&pool).await;
    assert_clean("lines", &stored);
    // Nor is a beginning of it.
    assert!(
        !stored.contains("xcA") && !stored.contains("73914411"),
        "{stored}"
    );
    let log = logs(&pool, task.task_id).await.remove(0);
    let first = &log.lines[0];
    assert_eq!(first.message, "with *** and \"***\"");
    assert_eq!(first.fields["token"], "***");
    assert_eq!(first.fields["other"], "***");
    let pin = log
        .lines
        .iter()
        .find(|line| line.message == "pin")
        .expect("there");
    assert_eq!(
        (&pin.fields["pin"], &pin.fields["n"]),
        (&"***".into(), &5.into())
    );
}

#[task(max_attempts = 1)]
async fn tells_encrypted(#[encrypted] token: String) -> Result<(), String> {
    say_it(&token);
    Err("no luck".into())
}

#[derive(Serialize, Deserialize, taskq::Payload)]
struct Many {
    #[taskq(secret)]
    token: String,
}

#[task]
async fn tells_of_many(#[batch(10, "10ms")] all: Vec<Many>) -> Result<(), String> {
    for it in all {
        say_it(&it.token);
    }
    Err("no luck".into())
}

#[tokio::test]
async fn values_of_encrypted_fields_and_of_batches_are_not_in_lines() {
    let (_database, pool) = database().await;
    let _guard = keep(LogLayer::new());
    let keys: Keys = KEYS.parse().expect("keys");
    taskq::encryption::install(KEYS.parse().expect("keys"));
    let mut db = pool.acquire().await.expect("a connection");
    TellsEncrypted::enqueue(&mut db, CANARY.into())
        .await
        .expect("enqueued");
    let many = (0..5).map(|n| Many {
        token: format!("{CANARY}-{n}"),
    });
    enqueue_many(&mut db, many).await.expect("enqueued");
    let worker = worker(&pool)
        .keys(keys)
        .only::<(TellsEncrypted, TellsOfManyHandler)>();
    super::failed(worker, &pool, 6).await;
    let stored = stored(&pool).await;
    assert!(stored.matches("as JSON").count() >= 6, "{stored}");
    assert_clean("lines", &stored);
}

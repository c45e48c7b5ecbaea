//! Metadata: what an enqueue says beside the payload, wherever the task goes.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool, query_scalar};
use taskq::outcome::{Decision, discard};
use taskq::{Attempt, EnqueueError, task};
use tokio::sync::Mutex;

use crate::support::{database, execute, one, until, while_working, worker};

/// What handlers found, in the order of their attempts.
type Found = Mutex<Vec<Value>>;

#[task]
async fn reads(found: &Found, attempt: &Attempt) {
    let value = attempt.metadata("request_id").cloned();
    found.lock().await.push(value.unwrap_or_default());
}

#[task]
async fn fails() -> Result<(), &'static str> {
    Err("no")
}

#[task]
async fn gives_up() -> Result<(), Decision> {
    Err(discard("never"))
}

#[task(result = "keep")]
async fn is_kept() -> Result<i32, &'static str> {
    Ok(7)
}

#[task(result = "keep")]
async fn is_kept_in_tx(tx: &mut PgConnection) -> Result<i32, sqlx::Error> {
    query_scalar("select 7").fetch_one(tx).await
}

#[task]
async fn other() {}

async fn metadata_of(pool: &PgPool, task_id: i64) -> Option<Value> {
    query_scalar("select metadata from taskq.tasks where task_id = $1")
        .bind(task_id)
        .fetch_one(pool)
        .await
        .expect("one task")
}

#[tokio::test]
async fn a_handler_reads_what_the_enqueue_said() {
    let (_database, pool) = database().await;
    let found = Arc::new(Found::default());
    {
        let mut db = pool.acquire().await.expect("a connection");
        for value in [json!("7f3a"), json!({"deep": [1, null]}), json!(null)] {
            Reads::enqueue(&mut db)
                .metadata("other", 1)
                .metadata("request_id", "is replaced")
                .metadata("request_id", value)
                .await
                .expect("enqueued");
        }
        Reads::enqueue(&mut db).await.expect("enqueued");
    }
    let work = worker(&pool)
        .only::<(Reads,)>()
        .state_arc(Arc::clone(&found));
    while_working(work, async {
        until("run", async || found.lock().await.len() == 4).await;
    })
    .await;
    let mut found = found.lock().await.clone();
    found.sort_by_key(Value::to_string);
    let expected = [
        json!("7f3a"),
        json!(null),
        json!(null),
        json!({"deep": [1, null]}),
    ];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn metadata_stays_with_its_task_wherever_that_goes() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let mut tasks = Vec::new();
    macro_rules! enqueue {
        ($($payload:ident)+) => {
            $(
                let name = stringify!($payload);
                let enqueued = $payload::enqueue(&mut db).metadata("of", name).await;
                tasks.push((name, enqueued.expect(name).task_id));
            )+
        };
    }
    enqueue!(Fails GivesUp IsKept IsKeptInTx);
    let left = "select count(*) from taskq.tasks where state = 'running' or (state = 'waiting' and attempts = 0 and crashes = 0)";
    let work = worker(&pool).only::<(Fails, GivesUp, IsKept, IsKeptInTx)>();
    while_working(work, async {
        until("moved", async || one::<i64>(&pool, left).await == 0).await;
    })
    .await;
    for (name, task_id) in &tasks {
        assert_eq!(
            metadata_of(&pool, *task_id).await,
            Some(json!({"of": name})),
            "{name}"
        );
    }
    for (table, count) in [("taskq.task", 1), ("taskq.dead", 1), ("taskq.history", 2)] {
        let with = sqlx::AssertSqlSafe(format!("select count(metadata) from {table}"));
        let found: i64 = query_scalar(with).fetch_one(&pool).await.expect("a count");
        assert_eq!(found, count, "{table}");
    }
}

#[tokio::test]
async fn metadata_stays_with_a_task_whose_worker_vanished() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let task = Fails::enqueue(&mut db)
        .metadata("of", "it")
        .await
        .expect("enqueued");
    let plain = Fails::enqueue(&mut db).await.expect("enqueued");
    execute(
        &pool,
        "with batch as (delete from taskq.task returning *)
         insert into taskq.lease (lease_id, worker_id, queue, expires_at, task_ids, task_types, payload_versions, payloads, priorities, run_ats, created_ats, max_attempts, attempts, crashes, errors, metadatas)
         select gen_random_uuid(), gen_random_uuid(), 'default', now() - interval '1 minute', array_agg(task_id), array_agg(task_type), array_agg(payload_version), array_agg(payload), array_agg(priority), array_agg(run_at), array_agg(created_at), array_agg(max_attempts), array_agg(attempts), array_agg(crashes), array_agg(errors), array_agg(metadata) from batch",
    )
    .await;
    assert_eq!(
        metadata_of(&pool, task.task_id).await,
        Some(json!({"of": "it"})),
        "it runs"
    );
    let rescuer = worker(&pool)
        .only::<(Other,)>()
        .lease(Duration::from_millis(500));
    while_working(rescuer, async {
        until("rescued", async || {
            one::<i64>(&pool, "select count(*) from taskq.task where crashes = 1").await == 2
        })
        .await;
    })
    .await;
    assert_eq!(
        metadata_of(&pool, task.task_id).await,
        Some(json!({"of": "it"}))
    );
    assert_eq!(metadata_of(&pool, plain.task_id).await, None);
}

#[tokio::test]
async fn too_much_metadata_is_refused_and_named() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let error = Other::enqueue(&mut db)
        .metadata("much", "x".repeat(64 * 1024))
        .await;
    let error = error.expect_err("too much");
    assert!(
        matches!(
            error,
            EnqueueError::Option {
                option: "metadata",
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("at most 65536 bytes"), "{error}");
    let error = Other::enqueue(&mut db).metadata("a", "b\0").await;
    assert_eq!(
        error.expect_err("no text").to_string(),
        "`metadata` cannot be stored: `a`: Postgres cannot store a text with a zero character"
    );
    // Written with spaces by Postgres, and full of them, it still goes in.
    let most: Value = (0..32_000).map(|_| 1).collect();
    Other::enqueue(&mut db)
        .metadata("most", most)
        .await
        .expect("enqueued");
    let refused = "insert into taskq.task (task_type, metadata) values ('other', '[1]')";
    let error = sqlx::query(refused)
        .execute(&mut *db)
        .await
        .expect_err("no object");
    assert!(
        error.to_string().contains("task_metadata_object"),
        "{error}"
    );
}

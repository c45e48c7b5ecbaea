//! `attempt.key("charge")`: the same whatever happens to a task, and that of no other.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::{AssertSqlSafe, PgPool, query_as, query_scalar};
use taskq::chrono::{DateTime, Utc};
use taskq::error::BoxError;
use taskq::json::RawValue;
use taskq::{Attempt, Schema, task};
use uuid::Uuid;

use crate::lease::fence::steal;
use crate::support::{database, drain, execute, one, states, until, while_working, worker};

/// The keys that handlers had, each with its task's id.
#[derive(Default)]
struct Keys(Mutex<Vec<(i64, Uuid)>>);

impl Keys {
    fn record(&self, attempt: &Attempt, effect: &str) {
        let mut keys = self.0.lock().expect("no panic");
        keys.push((attempt.task_id(), attempt.key(effect)));
    }

    fn all(&self) -> Vec<(i64, Uuid)> {
        self.0.lock().expect("no panic").clone()
    }
}

/// Returns the key that the guide promises.
async fn promised(pool: &PgPool, task_id: i64, created_at: DateTime<Utc>, effect: &str) -> Uuid {
    let tables: Uuid = one(
        pool,
        "select installation_id from taskq.migration where version = 1",
    )
    .await;
    let name = format!("{task_id}/{}/{effect}", created_at.timestamp_micros());
    Uuid::new_v5(&tables, name.as_bytes())
}

#[tokio::test]
async fn a_key_is_the_same_in_every_attempt_whatever_happened_in_between() {
    #[task]
    async fn charge(attempt: &Attempt, keys: &Keys, cents: i64) -> Result<(), BoxError> {
        keys.record(attempt, "charge");
        match (cents, keys.all().len()) {
            (10, 1) => Err(taskq::outcome::retry_in(Duration::ZERO))?,
            (10, _) => Err(taskq::outcome::discard("too little"))?,
            // Until its worker seems to have died.
            (_, 3) => std::future::pending().await,
            _ => Ok(()),
        }
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let task_id = Charge::enqueue(&mut db, 10)
        .await
        .expect("enqueued")
        .task_id;
    let created_at: DateTime<Utc> = one(&pool, "select created_at from taskq.task").await;
    let keys = Arc::new(Keys::default());
    let working = || {
        worker(&pool)
            .only::<(Charge,)>()
            .state_arc(keys.clone())
            .grace_period(Duration::ZERO)
    };
    drain(working(), &pool).await;
    assert_eq!(states(&pool).await["discarded"], 1);
    let operator = taskq::operate(&pool);
    let payload = RawValue::from_string(r#"{"cents": 20}"#.to_owned()).expect("JSON");
    operator.edit(task_id, payload).await.expect("edited");
    operator.retry(task_id).await.expect("retried");
    while_working(working(), async {
        until("it runs", async || keys.all().len() == 3).await;
        steal(&pool).await;
        until("done", async || states(&pool).await.is_empty()).await;
    })
    .await;
    let key = promised(&pool, task_id, created_at, "charge").await;
    assert_eq!(keys.all(), vec![(task_id, key); 4]);
}

#[tokio::test]
async fn effects_tasks_and_tables_have_keys_of_their_own() {
    #[task]
    async fn charge(attempt: &Attempt, keys: &Keys) {
        keys.record(attempt, "charge");
        keys.record(attempt, "refund");
    }

    let (_database, pool) = database().await;
    let schema = Schema::named("elsewhere").expect("a name");
    schema.migrate(&pool).await.expect("migrated");
    // The same ids, enqueued at the same time.
    let mut tx = pool.begin().await.expect("begun");
    for _ in 0..2 {
        Charge::enqueue(&mut tx).await.expect("enqueued");
        schema.enqueue(&mut tx, Charge {}).await.expect("enqueued");
    }
    tx.commit().await.expect("committed");
    let times = "select count(distinct created_at) from (select * from taskq.task union all select * from elsewhere.task) as task";
    assert_eq!(one::<i64>(&pool, times).await, 1);
    let keys = Arc::new(Keys::default());
    let working = || worker(&pool).only::<(Charge,)>().state_arc(keys.clone());
    drain(working(), &pool).await;
    while_working(working().schema(schema), async {
        until("done", async || keys.all().len() == 8).await;
    })
    .await;
    let mut seen: Vec<Uuid> = keys.all().iter().map(|(_, key)| *key).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 8, "{:?}", keys.all());
}

#[tokio::test]
async fn a_task_that_is_taken_back_under_another_id_has_the_keys_that_it_had() {
    #[task]
    async fn charge(attempt: &Attempt, keys: &Keys) {
        keys.record(attempt, "charge");
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let refused = Charge::enqueue(&mut db).await.expect("enqueued").task_id;
    let created_at: DateTime<Utc> = one(&pool, "select created_at from taskq.task").await;
    // As Postgres refuses a task whose id another has.
    let set_aside = async || {
        execute(
            &pool,
            r#"with gone as (delete from taskq.task where metadata is not null or task_id = 1 returning *)
             insert into taskq.refused (task_id, task_type, payload_version, payload, queue, priority, run_at, created_at, max_attempts, attempts, crashes, errors, metadata, refusal)
             select task_id, task_type, payload_version, payload, queue, priority, run_at, created_at, max_attempts, attempts, crashes, errors, metadata, '{"outcome": "retry"}' from gone"#,
        )
        .await;
    };
    set_aside().await;
    let occupy = async |task_id: i64| {
        let sql = format!(
            "insert into taskq.task (task_id, task_type) overriding system value values ({task_id}, 'another')"
        );
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&pool)
            .await
            .expect("there");
    };
    let take_back = async |task_id: i64| {
        let id = query_scalar::<_, i64>("select taskq.take_back($1)").bind(task_id);
        id.fetch_one(&pool).await.expect("taken back")
    };
    occupy(refused).await;
    let second = take_back(refused).await;
    assert_ne!(second, refused);
    // And once more: the first id counts.
    set_aside().await;
    occupy(second).await;
    let third = take_back(second).await;
    assert_ne!(third, second);
    let metadata: (i64, serde_json::Value) =
        query_as("select task_id, metadata from taskq.task where metadata is not null")
            .fetch_one(&pool)
            .await
            .expect("it waits");
    assert_eq!(
        metadata,
        (third, serde_json::json!({"task.first_id": refused}))
    );
    let keys = Arc::new(Keys::default());
    let worker = worker(&pool).only::<(Charge,)>().state_arc(keys.clone());
    while_working(worker, until("done", async || keys.all().len() == 1)).await;
    let key = promised(&pool, refused, created_at, "charge").await;
    assert_eq!(keys.all(), [(third, key)]);
}

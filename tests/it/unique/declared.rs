//! What a task type declares of its key, and who may enqueue it.

use taskq::unique::OnConflict;
use taskq::{EnqueueOutcome, task};

use super::{Digest, by_user};
use crate::support::{database, one};

#[task(unique(fields(n, r#type), until = "started", on_conflict = "replace"))]
async fn declared(
    n: i64,
    #[serde(rename = "kind")] r#type: Option<String>,
    text: String,
    #[serde(default)] _more: bool,
) {
    drop((n, r#type, text));
}

#[task(unique = "payload")]
async fn whole(_n: i64) {}

#[task(unique(within = "1h30m"))]
async fn hourly() {}

#[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
#[taskq(unique(fields(id), on_conflict = "push_back", at_latest = "5m"))]
struct Apart {
    id: i64,
    seen: bool,
}

#[tokio::test]
async fn a_task_type_declares_its_key() {
    use EnqueueOutcome::{Created, Existing, Replaced};
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let mut declare = async |n, kind: Option<&str>, text: &str| {
        let enqueue = Declared::enqueue(&mut db, n, kind.map(str::to_owned), text.to_owned(), true);
        enqueue.await.expect("enqueued").outcome
    };
    assert_eq!(declare(1, Some("a"), "x").await, Created);
    assert_eq!(declare(1, Some("a"), "y").await, Replaced);
    assert_eq!(declare(1, None, "y").await, Created);
    assert_eq!(declare(2, Some("a"), "y").await, Created);
    let key = "select key::text from taskq.unique_key order by key::text desc limit 1";
    assert_eq!(one::<String>(&pool, key).await, r#"{"n": 2, "kind": "a"}"#);
    for outcome in [Created, Existing] {
        assert_eq!(
            Whole::enqueue(&mut db, 1).await.expect("enqueued").outcome,
            outcome
        );
        assert_eq!(
            Hourly::enqueue(&mut db).await.expect("enqueued").outcome,
            outcome
        );
    }
    let hour: f64 = one(&pool, "select extract(epoch from ends_at - now())::float8 from taskq.unique_key where until = 'within'").await;
    assert!((5_300.0..=5_400.0).contains(&hour), "{hour}");
    for (seen, outcome) in [(false, Created), (true, Replaced)] {
        let apart = taskq::enqueue(&mut db, Apart { id: 7, seen });
        assert_eq!(apart.await.expect("enqueued").outcome, outcome);
    }
    assert!(
        one::<bool>(
            &pool,
            "select (payload -> 'seen')::boolean from taskq.task where task_type = 'apart'"
        )
        .await
    );
    // An enqueue has the last word.
    let always = Whole::enqueue(&mut db, 1).unique_key("another");
    assert_eq!(always.await.expect("enqueued").outcome, Created);
}

#[tokio::test]
async fn a_web_role_may_enqueue_unique_tasks_and_still_sees_none() {
    let (_database, pool) = database().await;
    let mut tx = pool.begin().await.expect("a transaction");
    sqlx::raw_sql(include_str!("../../../migrations/roles.sql"))
        .execute(&mut *tx)
        .await
        .expect("roles");
    sqlx::raw_sql("set local role taskq_enqueue")
        .execute(&mut *tx)
        .await
        .expect("a role");
    let replace = by_user().on_conflict(OnConflict::Replace);
    for outcome in [EnqueueOutcome::Created, EnqueueOutcome::Replaced] {
        let enqueue = Digest::enqueue(&mut tx, 1, "a".to_owned()).unique(replace);
        assert_eq!(enqueue.await.expect("enqueued").outcome, outcome);
    }
    let seen = sqlx::query("select * from taskq.unique_key")
        .execute(&mut *tx)
        .await;
    assert!(seen.is_err(), "it cannot see who has which key");
}

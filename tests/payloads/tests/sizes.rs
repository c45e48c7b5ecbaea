//! Sizes are measured as Postgres measures them: what an enqueue accepts fits into the table, and what it refuses
//! would hardly have.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sqlx::{PgConnection, query_scalar};
use taskq::error::{DecodeError, EncodeError};
use taskq::json::{self, RawValue};
use taskq::testing::Database;
use taskq::{EnqueueError, Payload};

const LIMIT: usize = 1024 * 1024;

/// Any value, as a payload.
#[derive(Debug)]
struct Carry<T>(T);

impl<T: Serialize + DeserializeOwned + Send + 'static> Payload for Carry<T> {
    const TASK_TYPE: &'static str = "carry";

    fn encode(&self) -> Result<Box<RawValue>, EncodeError> {
        json::encode(&self.0)
    }

    fn decode(raw: &RawValue, _version: Option<u16>) -> Result<Self, DecodeError> {
        json::decode(raw).map(Self)
    }
}

/// Enqueues a value that is a little too large, and one that is a little smaller.
async fn probe<T: Serialize + DeserializeOwned + Send + 'static>(
    db: &mut PgConnection,
    name: &str,
    of_length: impl Fn(usize) -> T,
) {
    let stored = async |db: &mut PgConnection, value: &T| -> usize {
        let text = serde_json::to_string(value).expect("JSON");
        let size: i32 = query_scalar("select pg_column_size($1::text::jsonb)")
            .bind(text)
            .fetch_one(db)
            .await
            .expect("a size");
        usize::try_from(size).expect("a size")
    };
    // How long it may be, by how long a short one is.
    let of_a_thousand = stored(db, &of_length(1_000)).await - stored(db, &of_length(0)).await;
    let most = LIMIT * 1_000 / of_a_thousand;
    let large = of_length(most + most / 50);
    let size_there = stored(db, &large).await;
    match taskq::enqueue(db, Carry(large)).await {
        Err(EnqueueError::TooLarge { size, limit, .. }) => {
            assert_eq!(limit, LIMIT, "{name}");
            let tolerated = size_there..size_there + size_there / 4;
            assert!(
                tolerated.contains(&size),
                "{name}: {size}, and {size_there}"
            );
        }
        other => panic!("{name}: {other:?}, and {size_there} there"),
    }
    // Near the limit it may be refused, by the enqueue and not by the table.
    for (percent, may_be_refused) in [(99, true), (70, false)] {
        match taskq::enqueue(db, Carry(of_length(most * percent / 100))).await {
            Ok(_) => {}
            Err(EnqueueError::TooLarge { .. }) if may_be_refused => {}
            Err(other) => panic!("{name}: {percent}%: {other}"),
        }
    }
}

#[tokio::test]
async fn what_an_enqueue_accepts_fits_into_the_table() {
    let database = Database::fresh().await.expect("a database");
    let pool = database.pool();
    let mut db = pool.acquire().await.expect("a connection");
    let db = &mut *db;
    probe(db, "bytes", |length| vec![7_u8; length]).await;
    probe(db, "floats", |length| vec![0.1_f64; length]).await;
    probe(db, "wide", |length| vec![(i128::MIN, 1e300, true); length]).await;
    probe(db, "text", |length| "x".repeat(length)).await;
    probe(db, "escapes", |length| "\u{1}é\n".repeat(length)).await;
    probe(db, "nothing", |length| vec![(); length]).await;
    probe(db, "arrays", |length| vec![Vec::<u8>::new(); length]).await;
    probe(db, "map", |length| {
        (0..length)
            .map(|key| (key.to_string(), key))
            .collect::<BTreeMap<_, _>>()
    })
    .await;
    probe(db, "objects", |length| -> Vec<Value> {
        vec![json!({"usr_id": 1, "locale": "de", "at": [1.5, {}, null]}); length]
    })
    .await;
}

#[tokio::test]
async fn a_payload_that_is_too_large_is_refused_with_its_size_and_the_limit() {
    let database = Database::fresh().await.expect("a database");
    let pool = database.pool();
    let mut db = pool.acquire().await.expect("a connection");
    let refused = taskq::enqueue(&mut db, Carry(vec![200_u8; 90_000])).await;
    assert_eq!(
        refused.expect_err("too large").to_string(),
        "the payload of `carry` is about 1,080,008 bytes long as Postgres stores it, and may have 1,048,576: keep it in a table of your own, and enqueue its key"
    );
    let many = [1, 90_000].map(|length| Carry(vec![1_u8; length]));
    let refused = taskq::enqueue_many(&mut db, many).await;
    let error = refused.expect_err("too large");
    assert!(
        matches!(error, EnqueueError::TooLarge { index: Some(1), .. }),
        "{error}"
    );
    // Nothing was sent, and so the connection is as it was.
    taskq::enqueue(&mut db, Carry(1)).await.expect("enqueued");
}

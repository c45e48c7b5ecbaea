//! What an enqueue accepts, the handler gets, bit for bit.

use std::fmt::Debug;

use fastrand::Rng;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::{PgConnection, query_scalar};
use taskq::Payload;
use taskq::error::{DecodeError, EncodeError};
use taskq::json::{self, RawValue};
use taskq::testing::Database;
use taskq_payloads::shapes::{Each, Refused, each};
use taskq_payloads::{Any, seeded};

/// How many values of each type are tried.
const VALUES: usize = 300;

/// A value that was accepted: what it is, and how it is read.
struct Accepted {
    shape: &'static str,
    value: String,
    text: String,
    read: fn(&RawValue) -> Result<String, DecodeError>,
}

struct Encode<'a> {
    rng: &'a mut Rng,
    accepted: Vec<Accepted>,
    wrong: Vec<String>,
}

fn read<T: DeserializeOwned + Debug>(raw: &RawValue) -> Result<String, DecodeError> {
    json::decode::<T>(raw).map(|value| format!("{value:?}"))
}

impl Each for Encode<'_> {
    fn shape<T: Any + Debug + Serialize + DeserializeOwned + Send + 'static>(
        &mut self,
        shape: &'static str,
        refused: Refused,
    ) {
        let mut errors = Vec::new();
        for _ in 0..VALUES {
            let value = T::any(self.rng);
            match json::encode(&value) {
                Ok(raw) => self.accepted.push(Accepted {
                    shape,
                    value: format!("{value:?}"),
                    text: raw.get().to_owned(),
                    read: read::<T>,
                }),
                Err(error) => {
                    assert!(!error.path().is_empty(), "{shape}: {error}");
                    errors.push((format!("{value:?}"), error));
                }
            }
        }
        let as_expected = match refused {
            Refused::Never => errors.is_empty(),
            Refused::Some => !errors.is_empty() && errors.len() < VALUES,
            Refused::All => errors.len() == VALUES,
        };
        if !as_expected {
            let count = errors.len();
            let first = errors.first();
            let wrong = format!("{shape}: {count} refused, not {refused:?}: {first:?}");
            self.wrong.push(wrong);
        }
    }
}

/// Returns texts as Postgres gives them back.
async fn stored(db: &mut PgConnection, texts: &[String]) -> Vec<String> {
    let through =
        "select text::jsonb::text from unnest($1) with ordinality as given (text, n) order by n";
    let stored = query_scalar(through).bind(texts).fetch_all(db).await;
    stored.expect("Postgres takes what was accepted")
}

#[tokio::test]
async fn what_is_accepted_comes_back_bit_for_bit() {
    let database = Database::fresh().await.expect("a database");
    let pool = database.pool();
    let mut db = pool.acquire().await.expect("a connection");
    let mut encode = Encode {
        rng: &mut seeded(),
        accepted: Vec::new(),
        wrong: Vec::new(),
    };
    each(&mut encode);
    assert!(encode.wrong.is_empty(), "{}", encode.wrong.join("\n"));
    for accepted in encode.accepted.chunks(5_000) {
        let texts: Vec<_> = accepted.iter().map(|it| it.text.clone()).collect();
        for (accepted, stored) in accepted.iter().zip(stored(&mut db, &texts).await) {
            // Postgres spells JSON in its own way, and that is all that changes in what is somebody else's.
            if accepted.shape.contains("RawValue") {
                continue;
            }
            let raw = RawValue::from_string(stored.clone()).expect("JSON");
            let read = (accepted.read)(&raw).unwrap_or_else(|error| error.to_string());
            let Accepted { shape, text, .. } = accepted;
            assert_eq!(read, accepted.value, "{shape}: {text}: {stored}");
        }
    }
}

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

#[tokio::test]
async fn floats_come_back_from_the_table_bit_for_bit() {
    let database = Database::fresh().await.expect("a database");
    let pool = database.pool();
    let mut db = pool.acquire().await.expect("a connection");
    let mut rng = seeded();
    let any = std::iter::repeat_with(|| f64::any(&mut rng));
    let floats: Vec<f64> = any.filter(|float| float.is_finite()).take(2_000).collect();
    let payloads = floats.iter().map(|float| Carry(*float));
    taskq::enqueue_many(&mut db, payloads.clone())
        .await
        .expect("enqueued");
    taskq::enqueue_copy(&mut db, payloads.collect::<Vec<_>>())
        .await
        .expect("enqueued");
    let texts: Vec<String> = query_scalar("select payload::text from taskq.task order by task_id")
        .fetch_all(&mut *db)
        .await
        .expect("rows");
    assert_eq!(texts.len(), 2 * floats.len());
    for (text, float) in texts.into_iter().zip(floats.iter().cycle()) {
        let raw = RawValue::from_string(text).expect("JSON");
        let Carry(read) = Carry::<f64>::decode(&raw, None).expect("decodes");
        assert_eq!(read.to_bits(), float.to_bits(), "{float:e}");
    }
}

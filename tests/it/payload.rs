//! Payloads that are checked, that are of an older version, that are declared elsewhere or by hand.

use serde::{Deserialize, Serialize};
use taskq::{EnqueueError, task};

use crate::support::{database, drain, execute, one, states, worker};

#[task]
async fn invite(#[garde(length(min = 2, max = 5))] locale: String, seats: u16) {
    let _ = (locale, seats);
}

#[tokio::test]
async fn a_payload_that_garde_refuses_is_not_enqueued() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let error = Invite::enqueue(&mut db, "d".into(), 1)
        .await
        .expect_err("refused");
    let EnqueueError::Invalid {
        task_type, source, ..
    } = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!(*task_type, "invite");
    let paths: Vec<_> = source.violations().map(|(path, _)| path).collect();
    assert_eq!(paths, ["locale"]);
    assert_eq!(
        error.to_string(),
        "the payload of `invite` has values that its task type refuses: `locale`: length is lower than 2"
    );
    let many = taskq::enqueue_many(
        &mut db,
        ["de", "much too long"].map(|locale| Invite {
            locale: locale.into(),
            seats: 1,
        }),
    );
    assert!(matches!(
        many.await,
        Err(EnqueueError::Invalid { index: Some(1), .. })
    ));
    assert!(states(&pool).await.is_empty());
    Invite::enqueue(&mut db, "de".into(), 1)
        .await
        .expect("enqueued");
}

#[tokio::test]
async fn a_row_that_garde_refuses_is_set_aside() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        r#"insert into taskq.task (task_type, payload) values
           ('invite', '{"locale": "d", "seats": 1}'), ('invite', '{"locale": "de", "seats": 1}')"#,
    )
    .await;
    drain(worker(&pool).only::<(Invite,)>(), &pool).await;
    assert_eq!(states(&pool).await, [("invalid".to_owned(), 1)].into());
    let error: String = one(&pool, "select errors -> -1 ->> 'error' from taskq.dead").await;
    assert!(
        error.starts_with("the payload has values that its task type refuses: `locale`: "),
        "{error}"
    );
}

#[derive(Deserialize)]
struct GreetV1 {
    usr: i64,
}

fn from_v1(old: GreetV1) -> GreetUser {
    GreetUser {
        usr_id: old.usr,
        loud: false,
    }
}

#[task(version = 2, upgrade = from_v1)]
async fn greet_user(usr_id: i64, loud: bool) -> Result<(), taskq::outcome::Decision> {
    Err(taskq::outcome::discard(format!("{usr_id} {loud}")))
}

#[tokio::test]
async fn rows_of_both_versions_are_run() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        r#"insert into taskq.task (task_type, payload) values
           ('greet_user', '{"usr": 1}'), ('greet_user', '{"usr_id": 2, "loud": true}'), ('greet_user', '{}')"#,
    )
    .await;
    // One that says what it is, and would not be the newest.
    execute(
        &pool,
        r#"insert into taskq.task (task_type, payload_version, payload)
           values ('greet_user', 1, '{"usr": 3, "usr_id": 4, "loud": true}')"#,
    )
    .await;
    drain(worker(&pool).only::<(GreetUser,)>(), &pool).await;
    let ended: String = one(
        &pool,
        "select string_agg(errors -> -1 ->> 'error', '; ' order by task_id) from taskq.dead",
    )
    .await;
    assert_eq!(
        ended,
        "discarded: 1 false; discarded: 2 true; payload does not decode at `.`: missing field `usr_id`; discarded: 3 false"
    );
}

#[derive(Serialize, Deserialize, taskq::Payload)]
#[taskq(name = "cards.write", queue = "cards")]
struct WriteCard {
    to: String,
    #[serde(default)]
    lines: Vec<String>,
}

#[task(handles = WriteCard)]
async fn write_card(lines: Vec<String>, to: String) -> Result<(), String> {
    Err(format!("{to}: {}", lines.join(" ")))
}

#[task(handles = WriteCard)]
async fn write_whole_card(#[payload] card: WriteCard) -> Result<(), String> {
    Err(format!("{}, {} lines", card.to, card.lines.len()))
}

#[tokio::test]
async fn a_payload_declared_elsewhere_is_run_by_the_handler_that_is_chosen() {
    for whole in [false, true] {
        let (_database, pool) = database().await;
        let mut db = pool.acquire().await.expect("a connection");
        let lines = vec!["Best".to_owned(), "wishes".to_owned()];
        taskq::enqueue(
            &mut db,
            WriteCard {
                to: "Ada".into(),
                lines,
            },
        )
        .max_attempts(1)
        .await
        .expect("enqueued");
        let worker = worker(&pool).queue("cards", 1);
        let (worker, expected) = match whole {
            false => (worker.only::<(WriteCardHandler,)>(), "Ada: Best wishes"),
            true => (worker.only::<(WriteWholeCardHandler,)>(), "Ada, 2 lines"),
        };
        drain(worker, &pool).await;
        let error: String = one(&pool, "select errors -> -1 ->> 'error' from taskq.dead").await;
        assert_eq!(error, expected);
    }
}

mod by_hand {
    //! What neither macro makes.

    use taskq::Payload;
    use taskq::error::{DecodeError, EncodeError, InvalidPayload};
    use taskq::handler::{BoxFuture, Declaration, IntoOutcome, Outcome, Parts, Task, TaskOptions};
    use taskq::json::{self, RawValue};

    pub(super) struct AddUp(pub(super) Vec<i64>);

    impl Payload for AddUp {
        const TASK_TYPE: &'static str = "add_up";
        const OPTIONS: TaskOptions = TaskOptions::new().max_attempts(1);

        fn encode(&self) -> Result<Box<RawValue>, EncodeError> {
            json::encode(&self.0)
        }

        fn decode(raw: &RawValue, _version: Option<u16>) -> Result<Self, DecodeError> {
            json::decode(raw).map(Self)
        }

        fn validate(&self) -> Result<(), InvalidPayload> {
            match self.0.is_empty() {
                true => Err(InvalidPayload::new(".", "there is nothing to add up")),
                false => Ok(()),
            }
        }
    }

    pub(super) struct AddUpHandler;

    impl Task for AddUpHandler {
        type Payload = AddUp;

        const DECLARATION: Declaration = Declaration::new();

        fn run<'a>(payload: AddUp, parts: Parts<'a>) -> BoxFuture<'a, Outcome> {
            Box::pin(async move {
                let sum: i64 = payload.0.iter().sum();
                let attempt = parts.attempt().number();
                Err::<(), _>(format!("{sum} at attempt {attempt}")).into_outcome()
            })
        }
    }

    taskq::register!(AddUpHandler);
}

#[tokio::test]
async fn a_task_implemented_by_hand_is_registered_and_run() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    taskq::enqueue(&mut db, by_hand::AddUp(vec![1, 2, 3]))
        .await
        .expect("enqueued");
    let refused = taskq::enqueue(&mut db, by_hand::AddUp(vec![])).await;
    assert_eq!(
        refused.expect_err("refused").to_string(),
        "the payload of `add_up` has values that its task type refuses: `.`: there is nothing to add up"
    );
    drain(worker(&pool).only::<(by_hand::AddUpHandler,)>(), &pool).await;
    let error: String = one(&pool, "select errors -> -1 ->> 'error' from taskq.dead").await;
    assert_eq!(error, "6 at attempt 1");
}

#[test]
fn what_is_registered_by_hand_is_registered_once() {
    use taskq::__private::{Registration, inventory};
    let registered = inventory::iter::<Registration>().map(|it| format!("{it:?}"));
    let by_hand = registered.filter(|it| it.contains("\"add_up\""));
    assert_eq!(by_hand.count(), 1);
}

mod odd {
    //! Payloads that cannot all come back.

    use std::collections::BTreeMap;

    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize, Default, taskq::Payload)]
    pub(super) struct Measure {
        pub(super) name: String,
        pub(super) values: Vec<f64>,
        pub(super) spare: Option<f32>,
        pub(super) state: Option<Option<u8>>,
        pub(super) nested: Option<Box<Measure>>,
        #[serde(flatten)]
        pub(super) rest: BTreeMap<String, i64>,
    }

    #[derive(Serialize, Deserialize, taskq::Payload)]
    #[serde(tag = "kind")]
    pub(super) enum Amount {
        Large { cents: i128 },
        Small { cents: i64 },
    }

    #[derive(Serialize, Deserialize, taskq::Payload)]
    pub(super) struct Forgetful {
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub(super) lines: Vec<u8>,
    }
}

#[tokio::test]
async fn what_would_not_come_back_is_refused_with_its_path() {
    use odd::{Amount, Forgetful, Measure};

    async fn refused<P: taskq::Payload>(db: &mut sqlx::PgConnection, payload: P) -> String {
        let error = taskq::enqueue(db, payload).await.expect_err("refused");
        assert!(matches!(error, EnqueueError::Encode { .. }), "{error:?}");
        let text = error.to_string();
        let begin = format!(
            "the payload of `{}` would not come back from Postgres as it is: ",
            P::TASK_TYPE
        );
        assert!(text.starts_with(&begin), "{text}");
        text[begin.len()..].to_owned()
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let deep = (0..3_000).fold(Measure::default(), |inner, _| Measure {
        nested: Some(Box::new(inner)),
        ..Measure::default()
    });
    for (payload, expected) in [
        (
            Measure {
                values: vec![1.0, f64::NAN],
                ..Measure::default()
            },
            "`values[1]`: NaN has no JSON",
        ),
        (
            Measure {
                spare: Some(f32::NEG_INFINITY),
                ..Measure::default()
            },
            "`spare`: negative infinity has no JSON",
        ),
        (
            Measure {
                nested: Some(Box::new(Measure {
                    state: Some(None),
                    ..Measure::default()
                })),
                ..Measure::default()
            },
            "`nested.state`: `Some` of what is `null` in JSON would come back as `None`",
        ),
        (
            Measure {
                name: "a\0".into(),
                ..Measure::default()
            },
            "`name`: Postgres cannot store a text with a zero character",
        ),
        (
            Measure {
                rest: [("name".to_owned(), 1)].into(),
                ..Measure::default()
            },
            "`name`: Postgres would keep only one of two values of this name",
        ),
    ] {
        assert_eq!(refused(&mut db, payload).await, expected);
    }
    let error = refused(&mut db, deep).await;
    assert!(
        error.ends_with("nothing is read that stands more than 127 arrays and objects deep"),
        "{error}"
    );
    assert_eq!(
        refused(&mut db, Amount::Large { cents: 7 }).await,
        "`cents`: serde reads no integer of 128 bits behind `flatten` or in an enum that is untagged or tagged inside: write it as a string"
    );
    assert_eq!(
        refused(&mut db, Forgetful { lines: vec![] }).await,
        "`.`: could not be read again: missing field `lines`"
    );
    // What does come back is no matter.
    let fine = Measure {
        values: vec![-0.0, 1e300, 5e-324],
        ..Measure::default()
    };
    taskq::enqueue(&mut db, fine).await.expect("enqueued");
    let small = Amount::Small { cents: i64::MIN };
    taskq::enqueue(&mut db, small).await.expect("enqueued");
    let lines = vec![1];
    taskq::enqueue(&mut db, Forgetful { lines })
        .await
        .expect("enqueued");
}

#[tokio::test]
async fn of_many_payloads_the_one_that_is_refused_is_named() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let cards = || {
        ["a", "b", "c\0"].map(|to| WriteCard {
            to: to.into(),
            lines: vec![],
        })
    };
    let expected = "the payload of `cards.write` at index 2 of those given would not come back from Postgres as it is: `to`: Postgres cannot store a text with a zero character";
    let many = taskq::enqueue_many(&mut db, cards()).await;
    assert_eq!(many.expect_err("refused").to_string(), expected);
    let copied = taskq::enqueue_copy(&mut db, cards()).await;
    assert_eq!(copied.expect_err("refused").to_string(), expected);
    assert!(states(&pool).await.is_empty());
}

mod by_hand_and_careless {
    //! Writes without a look at whether it can be read.

    use serde_json::value::{RawValue, to_raw_value};
    use taskq::Payload;
    use taskq::error::{DecodeError, EncodeError};
    use taskq::json;

    #[derive(Debug)]
    pub(super) struct Ratio(pub(super) f64, pub(super) &'static str);

    impl Payload for Ratio {
        const TASK_TYPE: &'static str = "ratio";

        fn encode(&self) -> Result<Box<RawValue>, EncodeError> {
            Ok(to_raw_value(&(self.0, self.1))?)
        }

        fn decode(raw: &RawValue, _version: Option<u16>) -> Result<Self, DecodeError> {
            json::decode(raw).map(|(ratio, _): (f64, String)| Self(ratio, ""))
        }
    }
}

#[tokio::test]
async fn json_written_by_hand_is_looked_at_too() {
    use by_hand_and_careless::Ratio;

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    for (payload, expected) in [
        (
            Ratio(f64::NAN, ""),
            "`[0]`: could not be read again: invalid type: null, expected f64",
        ),
        (
            Ratio(1.0, "\0"),
            "`[1]`: Postgres cannot store a text with a zero character",
        ),
    ] {
        let error = taskq::enqueue(&mut db, payload).await.expect_err("refused");
        assert!(error.to_string().ends_with(expected), "{error}");
    }
    taskq::enqueue(&mut db, Ratio(1.0, "one"))
        .await
        .expect("enqueued");
}

#[tokio::test]
async fn what_postgres_says_is_said_once_and_without_the_row() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    execute(
        &pool,
        "create unique index one_card on taskq.task ((payload ->> 'to'))",
    )
    .await;
    let card = || WriteCard {
        to: "Ada".into(),
        lines: vec![],
    };
    taskq::enqueue(&mut db, card()).await.expect("enqueued");
    let error = taskq::enqueue(&mut db, card()).await.expect_err("a twin");
    assert_eq!(
        format!("{:#}", anyhow::Error::from(error)),
        "cannot insert the task: duplicate key value violates unique constraint \"one_card\""
    );
}

//! Payloads that are checked, that are of an older version, that are declared elsewhere or by hand.

use std::error::Error;

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
    let EnqueueError::Invalid { task_type, source } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(*task_type, "invite");
    let paths: Vec<_> = source.violations().map(|(path, _)| path).collect();
    assert_eq!(paths, ["locale"]);
    assert_eq!(
        error.to_string(),
        "the payload of `invite` has values that its task type refuses"
    );
    let many = taskq::enqueue_many(
        &mut db,
        ["de", "much too long"].map(|locale| Invite {
            locale: locale.into(),
            seats: 1,
        }),
    );
    assert!(matches!(many.await, Err(EnqueueError::Invalid { .. })));
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
    let cause = refused
        .expect_err("refused")
        .source()
        .map(ToString::to_string);
    assert_eq!(cause.as_deref(), Some("`.`: there is nothing to add up"));
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

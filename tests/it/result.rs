//! What handlers return, kept and read back by its type.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool};
use taskq::handler::KeepsResult;
use taskq::{Attempt, Enqueued, ResultError, TaskResult, task};

use crate::support::{
    Log, count_effects, database, drain, effects, execute, one, states, until, while_working,
    worker,
};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Receipt {
    number: u64,
    note: Option<String>,
}

/// Fails as often as it is told to.
#[task(result = "keep")]
async fn charge(attempt: &Attempt, number: u64, failures: u16) -> Result<Receipt, String> {
    match attempt.number() > failures {
        true => Ok(Receipt {
            number,
            note: Some("it's $1 \"paid\" \\u0000 'so'".into()),
        }),
        false => Err("no money".into()),
    }
}

/// The same in its task's transaction, and it leaves a trace there.
#[task(result = "keep")]
async fn charge_in_tx(
    tx: &mut PgConnection,
    attempt: &Attempt,
    number: u64,
    failures: u16,
) -> anyhow::Result<Receipt> {
    sqlx::query("insert into effect values (1)")
        .execute(tx)
        .await?;
    charge(attempt, number, failures)
        .await
        .map_err(anyhow::Error::msg)
}

fn receipt(number: u64) -> Receipt {
    Receipt {
        number,
        note: Some("it's $1 \"paid\" \\u0000 'so'".into()),
    }
}

async fn read<P: KeepsResult<Result: DeserializeOwned>>(
    pool: &PgPool,
    task: &Enqueued<P>,
) -> TaskResult<P::Result> {
    let mut db = pool.acquire().await.expect("a connection");
    task.result(&mut db).await.expect("readable")
}

/// Makes all retries due, as long as the worker has something to do.
async fn drain_with_retries(pool: &PgPool, worker: taskq::WorkerBuilder) {
    let drained = until("drained", async || {
        execute(pool, "update taskq.task set run_at = now()").await;
        let states = states(pool).await;
        !states.contains_key("waiting") && !states.contains_key("running")
    });
    while_working(worker, drained).await;
}

#[tokio::test]
async fn a_result_is_read_back_by_its_type() {
    let (_database, pool) = database().await;
    effects(&pool).await;
    let mut db = pool.acquire().await.expect("a connection");
    let own = ChargeInTx::enqueue(&mut db, 1, 0).await.expect("enqueued");
    let other = Charge::enqueue(&mut db, 2, 0).await.expect("enqueued");
    assert_eq!(read(&pool, &own).await, TaskResult::Unfinished);
    drain(worker(&pool).only::<(Charge, ChargeInTx)>(), &pool).await;
    assert_eq!(read(&pool, &own).await, TaskResult::Kept(receipt(1)));
    assert_eq!(read(&pool, &other).await, TaskResult::Kept(receipt(2)));
    let by_id = taskq::result::<Charge>(&mut db, other.task_id).await;
    assert_eq!(by_id.expect("readable").kept(), Some(receipt(2)));
    let shown: i64 = one(
        &pool,
        "select count(*) from taskq.tasks where state = 'completed' and result ->> 'number' in ('1', '2')",
    )
    .await;
    assert_eq!(shown, 2);
}

#[tokio::test]
async fn a_retried_task_keeps_the_result_of_the_attempt_that_succeeded() {
    let (_database, pool) = database().await;
    effects(&pool).await;
    let mut db = pool.acquire().await.expect("a connection");
    let own = ChargeInTx::enqueue(&mut db, 1, 2).await.expect("enqueued");
    let other = Charge::enqueue(&mut db, 2, 2).await.expect("enqueued");
    let hopeless = taskq::enqueue(
        &mut db,
        Charge {
            number: 3,
            failures: 9,
        },
    )
    .max_attempts(2)
    .await
    .expect("enqueued");
    drain_with_retries(&pool, worker(&pool).only::<(Charge, ChargeInTx)>()).await;
    assert_eq!(read(&pool, &own).await, TaskResult::Kept(receipt(1)));
    assert_eq!(read(&pool, &other).await, TaskResult::Kept(receipt(2)));
    assert_eq!(
        read(&pool, &hopeless).await,
        TaskResult::Dead {
            state: "discarded".into(),
            error: Some("no money".into()),
        }
    );
    // The result was committed with the effects of its attempt, and theirs alone.
    assert_eq!(count_effects(&pool).await.0, 1);
    let attempts: i64 = one(
        &pool,
        "select sum(attempts) from taskq.history where jsonb_array_length(errors) = 2",
    )
    .await;
    assert_eq!(attempts, 6);
}

/// Results of which some can be kept.
#[derive(Debug, Serialize, Deserialize)]
enum Anything {
    NoStrings(BTreeMap<Vec<u8>, u8>),
    Numbers(Vec<f64>),
    Text(String),
}

fn anything(what: &str) -> Anything {
    match what {
        "no strings" => Anything::NoStrings(BTreeMap::from([(vec![1], 1)])),
        "long" => Anything::Text("x".repeat(1024 * 1024)),
        "zero" => Anything::Text("a\0b".into()),
        "not a number" => Anything::Numbers(vec![1.5, f64::NAN]),
        other => Anything::Text(other.into()),
    }
}

#[task(result = "keep")]
async fn answer(what: String) -> Result<Anything, String> {
    Ok(anything(&what))
}

#[task(result = "keep")]
async fn answer_in_tx(tx: &mut PgConnection, what: String) -> anyhow::Result<Anything> {
    sqlx::query("insert into effect values (1)")
        .execute(tx)
        .await?;
    Ok(anything(&what))
}

#[tokio::test]
async fn work_whose_result_cannot_be_kept_is_done_all_the_same() {
    let (_database, pool) = database().await;
    effects(&pool).await;
    let log = Log::capture();
    let mut db = pool.acquire().await.expect("a connection");
    let mut tasks = Vec::new();
    for (what, reason) in [
        (
            "no strings",
            "the result would not come back from Postgres as it is: `NoStrings`: a key must be a string",
        ),
        (
            "not a number",
            "the result would not come back from Postgres as it is: `Numbers[1]`: NaN has no JSON",
        ),
        ("long", "the result is about 1,048,59"),
        (
            "zero",
            "the result would not come back from Postgres as it is: `Text`: Postgres cannot store a text with a zero",
        ),
    ] {
        let own = AnswerInTx::enqueue(&mut db, what.into()).await;
        let other = Answer::enqueue(&mut db, what.into()).await;
        let ids = [
            own.expect("enqueued").task_id,
            other.expect("enqueued").task_id,
        ];
        tasks.extend(ids.map(|task_id| (task_id, reason)));
    }
    // What only Postgres finds out, in a batch with one that it takes.
    execute(
        &pool,
        "alter table taskq.history add check (result ->> 'Text' <> 'banned')",
    )
    .await;
    let banned = Answer::enqueue(&mut db, "banned".into()).await;
    let fine = Answer::enqueue(&mut db, "fine".into())
        .await
        .expect("enqueued");
    tasks.push((
        banned.expect("enqueued").task_id,
        "Postgres refused the result: ",
    ));
    drain(worker(&pool).only::<(Answer, AnswerInTx)>(), &pool).await;
    for (task_id, expected) in tasks {
        // The type of the task is for reading; both have one result.
        let result = taskq::result::<Answer>(&mut db, task_id).await;
        let Ok(TaskResult::NotKept {
            reason: Some(reason),
        }) = &result
        else {
            panic!("{expected}: {result:?}")
        };
        assert!(reason.starts_with(expected), "{reason}");
    }
    let fine = read(&pool, &fine).await;
    assert!(
        matches!(&fine, TaskResult::Kept(Anything::Text(text)) if text == "fine"),
        "{fine:?}"
    );
    assert!(
        log.has("completed, but the result could not be kept"),
        "{}",
        log.text()
    );
    assert_eq!(count_effects(&pool).await.0, 4);
    let attempts: i64 = one(&pool, "select max(attempts)::bigint from taskq.history").await;
    assert_eq!(attempts, 1);
}

#[tokio::test]
async fn a_wish_of_the_attempt_wins_over_a_result() {
    #[task(result = "keep")]
    async fn dropped(attempt: &Attempt) -> Result<u8, String> {
        attempt.cancel("sold out");
        Ok(1)
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let task = Dropped::enqueue(&mut db).await.expect("enqueued");
    drain(worker(&pool).only::<(Dropped,)>(), &pool).await;
    assert!(matches!(
        read(&pool, &task).await,
        TaskResult::Dead { state, .. } if state == "cancelled"
    ));
}

#[tokio::test]
async fn a_result_goes_with_its_day_of_the_history() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let task = Charge::enqueue(&mut db, 1, 0).await.expect("enqueued");
    drain(worker(&pool).only::<(Charge,)>(), &pool).await;
    assert_eq!(read(&pool, &task).await, TaskResult::Kept(receipt(1)));
    execute(
        &pool,
        "update taskq.history set finished_at = now() - interval '9 days'",
    )
    .await;
    let dropped: i32 = one(&pool, "select taskq.prune_history('7 days')").await;
    assert_eq!(dropped, 1);
    assert_eq!(read(&pool, &task).await, TaskResult::Gone);
    let never = taskq::result::<Charge>(&mut db, 7_000).await;
    assert_eq!(never.expect("readable"), TaskResult::Gone);
}

#[tokio::test]
async fn a_result_of_a_handler_of_another_time_names_what_does_not_fit() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let task = Charge::enqueue(&mut db, 1, 0).await.expect("enqueued");
    drain(worker(&pool).only::<(Charge,)>(), &pool).await;
    execute(
        &pool,
        r#"update taskq.history set result = '{"number": 7, "more": 1}'"#,
    )
    .await;
    let older = Receipt {
        number: 7,
        note: None,
    };
    assert_eq!(read(&pool, &task).await, TaskResult::Kept(older));
    execute(
        &pool,
        r#"update taskq.history set result = '{"number": "7"}'"#,
    )
    .await;
    let error = task.result(&mut db).await.expect_err("it does not fit");
    assert!(
        matches!(&error, ResultError::Decode { path, raw, .. } if path == "number" && raw.get() == r#"{"number": "7"}"#)
    );
    assert_eq!(
        error.to_string(),
        "the result of `charge` does not decode at `number`"
    );
    // As a binary does that keeps no results, or the version of the handler before it did.
    execute(&pool, "update taskq.history set result = null").await;
    assert_eq!(
        read(&pool, &task).await,
        TaskResult::NotKept { reason: None }
    );
}

/// Stands for a crate of payloads, of which a web server knows no more.
mod contracts {
    #[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
    #[taskq(result = super::Receipt)]
    pub(super) struct Refund {
        pub(super) number: u64,
    }
}

#[task(handles = contracts::Refund, result = "keep")]
async fn refund(number: u64) -> Result<Receipt, String> {
    Ok(Receipt { number, note: None })
}

#[tokio::test]
async fn a_payload_apart_from_its_handler_names_its_result() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let task = contracts::Refund::enqueue(&mut db, 4)
        .await
        .expect("enqueued");
    drain(worker(&pool).only::<(RefundHandler,)>(), &pool).await;
    let expected = Receipt {
        number: 4,
        note: None,
    };
    assert_eq!(read(&pool, &task).await, TaskResult::Kept(expected));
}

#[tokio::test]
async fn floats_are_read_back_bit_for_bit() {
    #[task(result = "keep")]
    async fn floats(bits: Vec<u64>) -> Result<Vec<f64>, String> {
        Ok(bits.into_iter().map(f64::from_bits).collect())
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let odd = [0.0, -0.0, 0.1, 1e16, -1e300, f64::MIN_POSITIVE, f64::MAX];
    let odd = odd.map(f64::to_bits).into_iter();
    let any = std::iter::repeat_with(|| fastrand::u64(..));
    let bits: Vec<u64> = odd
        .chain(any)
        .filter(|bits| f64::from_bits(*bits).is_finite())
        .take(1_000)
        .collect();
    let task = Floats::enqueue(&mut db, bits.clone())
        .await
        .expect("enqueued");
    drain(worker(&pool).only::<(Floats,)>(), &pool).await;
    let kept = read(&pool, &task).await.kept().expect("kept");
    let kept: Vec<u64> = kept.into_iter().map(f64::to_bits).collect();
    assert_eq!(kept, bits);
}

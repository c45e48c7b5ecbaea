//! A payload and a handler without the macro, for what serde's derives and an `async fn` cannot say.
//!
//! ```text
//! $ cargo run --example by_hand
//! row: invite [1, 2, 3]
//! invited users 1, 2, 3
//! ```

use std::time::Duration;

use taskq::error::{DecodeError, EncodeError};
use taskq::handler::{
    BoxFuture, Declaration, IntoOutcome, Outcome, Parts, StateRequirement, Task, TaskOptions,
};
use taskq::json::{self, RawValue};
use taskq::testing::Database;
use taskq::{Payload, Worker};

/// A bare array in the row, `[1, 2, 3]`, where `#[task]` writes an object.
struct Invite(Vec<i64>);

impl Payload for Invite {
    const TASK_TYPE: &'static str = "invite";
    const OPTIONS: TaskOptions = TaskOptions::new().max_attempts(5);

    fn encode(&self) -> Result<Box<RawValue>, EncodeError> {
        json::encode(&self.0)
    }

    fn decode(raw: &RawValue, _version: Option<u16>) -> Result<Self, DecodeError> {
        json::decode(raw).map(Self)
    }
}

/// What the handler borrows from its worker.
struct Greeting(&'static str);

struct InviteHandler;

impl Task for InviteHandler {
    type Payload = Invite;

    const DECLARATION: Declaration = Declaration::new()
        .states(&[StateRequirement::of::<Greeting>()])
        .timeout(Duration::from_secs(30));

    fn run<'a>(Invite(users): Invite, parts: Parts<'a>) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let Greeting(greeting) = parts.state::<Greeting>();
            let users: Vec<String> = users.iter().map(i64::to_string).collect();
            println!("{greeting} {}", users.join(", "));
            // What an `async fn` would return: `()`, or a `Result`.
            Ok::<(), std::io::Error>(()).into_outcome()
        })
    }
}

// As `#[task]` does, so that workers find it.
taskq::register!(InviteHandler);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = Database::fresh().await?;
    let pool = database.pool();
    let mut tx = pool.begin().await?;
    taskq::enqueue(&mut tx, Invite(vec![1, 2, 3])).await?;
    tx.commit().await?;

    let row = "select task_type || ' ' || payload::text from taskq.tasks";
    let row: String = sqlx::query_scalar(row).fetch_one(&pool).await?;
    println!("row: {row}");

    Worker::builder(pool.clone())
        .state(Greeting("invited users"))
        .build()
        .await?
        .run_until(taskq_examples::all_finished(&pool))
        .await?;
    Ok(())
}

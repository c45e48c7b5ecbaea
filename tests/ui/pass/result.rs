//! Results that are kept, and read back by their type.

#![forbid(unsafe_code)]
#![deny(warnings, missing_docs, unreachable_pub)]

use serde::{Deserialize, Serialize};
use taskq::handler::KeepsResult;
use taskq::TaskResult;

/// A result.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// A field.
    pub number: u64,
}

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// In its own words.
#[taskq::task(result = "keep", queue = "mail")]
pub async fn charge(order_id: i64) -> Result<Receipt, String> {
    let number = u64::try_from(order_id).map_err(|error| error.to_string())?;
    Ok(Receipt { number })
}

/// Through aliases, and in a transaction.
#[taskq::task(result = "keep")]
async fn refund(_tx: &mut sqlx::PgConnection) -> Outcome<Option<Vec<Receipt>>> {
    Ok(None)
}

/// Nothing but that it has run.
#[taskq::task(result = "keep")]
async fn tick() -> anyhow::Result<()> {
    Ok(())
}

/// Stands for a crate of payloads.
pub mod contracts {
    /// A payload apart from its handler.
    #[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
    #[taskq(result = super::Receipt, queue = "mail")]
    pub struct Dun {
        /// A field.
        pub usr_id: i64,
    }
}

#[taskq::task(handles = contracts::Dun, result = "keep")]
async fn dun(usr_id: i64) -> anyhow::Result<Receipt> {
    let _ = usr_id;
    Ok(Receipt { number: 1 })
}

/// Written by hand.
#[derive(Serialize, Deserialize, taskq::Payload)]
struct ByHand;

struct ByHandHandler;

impl KeepsResult for ByHand {
    type Result = Receipt;
}

impl taskq::handler::Task for ByHandHandler {
    type Payload = ByHand;

    const DECLARATION: taskq::handler::Declaration = taskq::handler::Declaration::new().keeps_result();

    fn run<'a>(_: ByHand, _: taskq::handler::Parts<'a>) -> taskq::handler::BoxFuture<'a, taskq::handler::Outcome> {
        use taskq::handler::IntoKept as _;
        Box::pin(async { charge(1).await.into_kept() })
    }
}

taskq::register!(ByHandHandler);

/// Reads them.
pub async fn read(db: &mut sqlx::PgConnection) -> Result<(), taskq::ResultError> {
    let charged = Charge::enqueue(db, 1).await.expect("enqueued");
    let _: TaskResult<Receipt> = charged.result(db).await?;
    let _: Option<Receipt> = taskq::result::<Charge>(db, 1).await?.kept();
    let _: TaskResult<Option<Vec<Receipt>>> = taskq::result::<Refund>(db, 1).await?;
    let _: TaskResult<()> = taskq::result::<Tick>(db, 1).await?;
    let _: TaskResult<Receipt> = taskq::result::<contracts::Dun>(db, 1).await?;
    let _: TaskResult<Receipt> = taskq::result::<ByHand>(db, 1).await?;
    Ok(())
}

fn send<T: Send>(_: T) {}

/// As a server's handlers are asked to be.
pub fn is_send(db: &'static mut sqlx::PgConnection) {
    send(read(db));
}

fn main() {}

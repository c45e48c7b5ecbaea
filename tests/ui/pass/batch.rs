#![forbid(unsafe_code)]
#![deny(warnings, missing_docs, unreachable_pub)]
//! Handlers of many payloads, in each form.

use std::sync::Arc;

/// Stands for a crate of payloads.
pub mod contracts {
    /// A payload.
    #[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
    pub struct SendPush {
        /// A field.
        pub to: String,
    }

    /// Another, of which a result is kept.
    #[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
    #[taskq(result = u64)]
    pub struct Count {
        /// A field.
        pub n: u64,
    }

    /// And another.
    #[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
    pub struct Purge;
}

/// Worker state.
pub trait Gateway: Send + Sync {
    /// Sends.
    fn send(&self, to: &str) -> Result<(), String>;
}

/// One outcome for each, beside all that a handler may take.
#[taskq::task(timeout = "30s", retry = "10s, 1m", max_snoozes = 3, give_up_after = "1d")]
pub async fn push(
    #[batch(1000, "50ms")] pushes: Vec<contracts::SendPush>,
    batch: &taskq::Batch,
    gateway: &dyn Gateway,
    #[inject] name: Arc<str>,
    tx: &mut sqlx::PgConnection,
) -> Vec<Result<(), String>> {
    let _ = (tx, name, batch.iter().map(|attempt| attempt.key("push")).count());
    pushes.iter().map(|push| gateway.send(&push.to)).collect()
}

#[taskq::task(result = "keep")]
async fn count(
    #[batch(2, "0s")] numbers: std::vec::Vec<contracts::Count>,
) -> Vec<Result<u64, std::io::Error>> {
    numbers.iter().map(|it| Ok(it.n)).collect()
}

// One for all, which begins its transaction when it wants.
#[taskq::task]
async fn purge(#[batch(5, "1m")] all: Vec<contracts::Purge>, tx: &mut taskq::LazyTx) {
    let _ = (all, tx);
}

fn main() {
    use taskq::handler::Task;

    let declaration = format!("{:?}", PushHandler::DECLARATION);
    let batch = "BatchBounds { size: 1000, wait: 50ms }";
    assert!(declaration.contains(batch), "{declaration}");
    assert!(PushHandler::BATCH.is_some() && CountHandler::BATCH.is_some());
    fn only(worker: taskq::WorkerBuilder) -> taskq::WorkerBuilder {
        worker.only::<(PushHandler, CountHandler, PurgeHandler)>()
    }
    let _ = only;
}

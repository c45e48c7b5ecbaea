//! Hooks around attempts and enqueues, and the stream of events.

mod after;
mod enqueue;
mod events;
mod lost;
mod pairs;
mod process;

use std::sync::Mutex;

use sqlx::PgConnection;
use taskq::Hook;
use taskq::error::BoxError;
use taskq::hooks::{BoxFuture, EndedAttempt, Wants};

/// Remembers what it is told of the types that it wants.
pub(crate) struct Remembers {
    pub(crate) wanted: &'static str,
    pub(crate) wants: Wants,
    pub(crate) in_tx: Mutex<Vec<EndedAttempt>>,
    pub(crate) after: Mutex<Vec<EndedAttempt>>,
}

impl Remembers {
    fn new(wanted: &'static str, wants: Wants) -> Self {
        Self {
            wanted,
            wants,
            in_tx: Mutex::default(),
            after: Mutex::default(),
        }
    }

    fn told(&self) -> Vec<EndedAttempt> {
        self.after.lock().expect("remembered").clone()
    }

    /// What each call was told, as the task's type and the outcome.
    fn outcomes(of: &Mutex<Vec<EndedAttempt>>) -> Vec<String> {
        let of = of.lock().expect("remembered");
        of.iter()
            .map(|it| format!("{} {}", it.task_type, it.outcome.name()))
            .collect()
    }
}

impl Hook for Remembers {
    fn name(&self) -> &str {
        "remembers"
    }

    fn wants(&self, task_type: &str) -> Wants {
        match task_type.starts_with(self.wanted) {
            true => self.wants,
            false => Wants::NOTHING,
        }
    }

    fn in_tx<'a>(
        &'a self,
        attempt: &'a EndedAttempt,
        _tx: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        self.in_tx.lock().expect("remembered").push(attempt.clone());
        Box::pin(std::future::ready(Ok(())))
    }

    fn after<'a>(&'a self, attempt: &'a EndedAttempt) -> BoxFuture<'a, Result<(), BoxError>> {
        self.after.lock().expect("remembered").push(attempt.clone());
        Box::pin(std::future::ready(Ok(())))
    }
}

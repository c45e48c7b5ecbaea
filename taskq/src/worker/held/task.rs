//! A task that runs.

use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::pulse::Pulse;

/// A task whose handler runs, or waits for its transaction.
#[derive(Debug, Clone)]
pub(crate) struct RunningTask {
    pub(crate) task_id: i64,
    pub(crate) task_type: &'static str,
    pub(crate) started: Instant,
    /// Cancelled when the task is taken from its handler…
    pub(super) token: CancellationToken,
    /// … and whether that is because an operator has cancelled the task.
    pub(super) is_cancelled: bool,
    /// On which thread its handler is.
    pub(super) pulse: Arc<Pulse>,
    /// The thread that it blocks, and since when. Boxed, for few do.
    pub(super) blocked: Option<Box<(String, Instant)>>,
}

impl RunningTask {
    /// Names it and says for how long it has run.
    pub(super) fn name(&self) -> String {
        let seconds = self.started.elapsed().as_secs();
        format!("{} {} for {seconds} s", self.task_type, self.task_id)
    }
}

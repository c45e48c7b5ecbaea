//! Tasks that run together, in one call of their handler.

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Held;

/// What became of a running task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Running {
    On,
    /// Its lease was lost.
    Lost,
    /// An operator has cancelled it.
    Cancelled,
}

impl Held {
    /// Tells which of some running tasks were taken from their handler. The others are from now on when `token` is
    /// cancelled.
    pub(crate) fn watch(&self, keys: &[(Uuid, i64)], token: &CancellationToken) -> Vec<Running> {
        let table = &mut *self.lock();
        let now = keys.iter().map(|key| {
            let is_held = table.leases.contains_key(&key.0);
            match table.running.get_mut(key) {
                Some(task) if task.is_cancelled => Running::Cancelled,
                Some(task) if is_held => {
                    task.token = token.clone();
                    Running::On
                }
                Some(_) | None => Running::Lost,
            }
        });
        now.collect()
    }
}

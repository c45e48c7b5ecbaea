//! Running suspects one after the other.

use std::time::Duration;

use tokio::time::sleep;

use crate::store::ClaimedTask;
use crate::worker::shared::Core;

/// Waits until the outcome of a task is written, so that the next suspect, which may kill the process, is not charged
/// to this one.
pub(super) async fn until_written(core: &Core, task: &ClaimedTask) {
    while core.held.remaining(task.lease_id).is_some() && !core.stop.gently.is_cancelled() {
        sleep(Duration::from_millis(5)).await;
    }
}

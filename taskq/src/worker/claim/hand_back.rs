//! Handing back what was claimed and has not started.

use std::time::Instant;

use tokio::time::sleep;

use super::Claimer;
use super::buffer::Buffer;
use super::prefetch::WATCHED;
use crate::attempt::verdict::{Settlement, Verdict};
use crate::store::ClaimedTask;
use crate::worker::held::strays;

impl Claimer<'_> {
    pub(super) async fn hand_back_stale(&mut self) {
        for at in 0..self.core.buffers.len() {
            if self.core.buffers[at].has_stale() {
                self.core.buffers[at].watch();
                sleep(WATCHED).await;
                let stale = self.core.buffers[at].take_stale();
                self.hand_back(stale).await;
            }
        }
    }

    /// Hands back all that has not started, when the worker stops.
    pub(crate) async fn hand_back_all(&mut self) {
        let waiting = self.core.buffers.iter().flat_map(Buffer::close);
        let waiting: Vec<_> = waiting.collect();
        self.hand_back(waiting).await;
    }

    /// Hands back what was claimed before it was paused, and has not started.
    pub(super) async fn hand_back_paused(&mut self) {
        if !self.core.pauses.take_begun() {
            return;
        }
        let now = Instant::now();
        for at in 0..self.core.buffers.len() {
            let (buffer, queue) = (&self.core.buffers[at], &self.core.queue_names[at]);
            let paused = buffer.take_of(|task_type| self.core.pauses.hold(queue, task_type, now));
            self.hand_back(paused).await;
        }
    }

    /// Hands back what this worker has in the tables and does not hold, where there may be such.
    pub(super) async fn hand_back_strays(&mut self) {
        let lease = self.core.settings.lease;
        if self.core.take_may_have_strays() {
            self.looks.begin(lease);
        }
        if !self.looks.take(lease) {
            return;
        }
        if let Err(error) = strays::hand_back(&self.core, &mut self.store).await {
            tracing::debug!(%error, "cannot hand back tasks that this worker does not hold; trying again");
        }
    }

    /// Gives tasks back that have not started.
    pub(super) async fn hand_back(&mut self, tasks: Vec<ClaimedTask>) {
        self.return_starts(&tasks).await;
        for task in tasks {
            let settlement = Settlement {
                lease_id: task.lease_id,
                task_id: task.task_id,
                verdict: Verdict::HandBack,
                keep: false,
                is_member: false,
                mark: None,
                ended: None,
                report: None,
            };
            // The receiver is there for as long as the worker runs.
            let _ = self.outcomes.send(settlement).await;
        }
    }
}

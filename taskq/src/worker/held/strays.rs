//! Leases of this worker that it does not hold, and that nobody has vanished with.
//!
//! A worker that stood still, as a laptop with its lid closed, gives up leases which are its own. A claim that
//! was not answered in time may have been made all the same. Left alone, such leases would run out, and their tasks
//! be rescued: charged with the crash of a worker that is alive. So a worker hands them back, uncharged.
//!
//! The claimer does it between two claims: then each lease that the worker knows is in its table, and any other is
//! a stray. A claim of which it heard nothing may still be under way, so the claimer looks again for a while.

use std::time::{Duration, Instant};

use crate::attempt::verdict::{Settlement, Verdict};
use crate::store::Store;
use crate::worker::shared::Core;

/// For how many durations of a lease the claimer looks for strays. Other workers rescue them after one and a half.
const LOOK_FOR: u32 = 2;

/// How often it looks in the duration of a lease.
const LOOKS_PER_LEASE: u32 = 10;

/// When to look for strays.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    next: Option<Instant>,
    until: Option<Instant>,
}

impl Looks {
    /// Records that there may be strays from now on.
    pub(crate) fn begin(&mut self, lease: Duration) {
        let now = Instant::now();
        self.next.get_or_insert(now);
        self.until = Some(now + lease * LOOK_FOR);
    }

    /// Returns when to look next, if there may be strays.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Tells whether to look now, and if so, when to look again.
    pub(crate) fn take(&mut self, lease: Duration) -> bool {
        let now = Instant::now();
        if self.next.is_none_or(|next| next > now) {
            return false;
        }
        let next = now + lease / LOOKS_PER_LEASE;
        self.next = self.until.is_some_and(|until| next < until).then_some(next);
        true
    }
}

/// Hands back what is left in the leases of this worker that it does not hold, and in which no handler runs. No claim
/// may be under way.
pub(crate) async fn hand_back(core: &Core, store: &mut Store<'_>) -> Result<(), sqlx::Error> {
    if core.has_outcomes() {
        // Some of them may be of these leases, and count.
        return Ok(());
    }
    let held = core.held.held_or_running();
    let strays = store.strays(core.worker_id, &held).await?;
    if strays.is_empty() {
        return Ok(());
    }
    let settlements: Vec<Settlement> = strays
        .into_iter()
        .map(|(lease_id, task_id)| Settlement {
            lease_id,
            task_id,
            verdict: Verdict::HandBack,
            keep: false,
            is_member: false,
            mark: None,
            ended: None,
            report: None,
        })
        .collect();
    let returned = store.settle(&settlements).await?;
    tracing::info!(
        tasks = returned.len(),
        "handed back tasks that this worker had given up, or claimed without hearing of it"
    );
    Ok(())
}

//! Which outcomes to write now: those of whole leases at once, the others when they have waited long
//! enough.
//!
//! A lease whose tasks have all completed is finished by deleting its row, which is the cheapest write
//! there is. So completed tasks wait a moment for the rest of their lease.

use std::time::{Duration, Instant};

use foldhash::HashMap;
use uuid::Uuid;

use crate::attempt::verdict::Settlement;

/// How long a completed task waits for the rest of its lease.
const GATHER: Duration = Duration::from_millis(25);

/// Outcomes that have not been written yet.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    by_lease: HashMap<Uuid, Vec<Settlement>>,
    /// When the first of them arrived.
    oldest: Option<Instant>,
}

/// Outcomes to write now.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    /// Leases that all their tasks leave, completed and not kept.
    pub(crate) whole: Vec<Completed>,
    /// Leases that some of their tasks leave, likewise.
    pub(crate) parts: Vec<Completed>,
    /// What is written task by task.
    pub(crate) single: Vec<Settlement>,
}

/// Tasks of one lease that have completed.
#[derive(Debug)]
pub(crate) struct Completed {
    pub(crate) lease_id: Uuid,
    /// How many tasks the lease has left, these included.
    pub(crate) remaining: usize,
    pub(crate) tasks: Vec<Settlement>,
}

impl Gathered {
    pub(crate) fn is_empty(&self) -> bool {
        self.by_lease.is_empty()
    }

    /// Returns when none of these outcomes may wait any longer.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.oldest.map(|oldest| oldest + GATHER)
    }

    pub(crate) fn record(&mut self, settlement: Settlement) {
        self.oldest.get_or_insert_with(Instant::now);
        let of_lease = self.by_lease.entry(settlement.lease_id).or_default();
        of_lease.push(settlement);
    }

    /// Takes what need not wait any longer; everything, if it is `late`. `remaining` knows how many tasks
    /// have not left a lease, if it is still held; nobody may wait for the tasks of one that `is_waited_for`.
    pub(crate) fn take_ready(
        &mut self,
        late: bool,
        remaining: impl Fn(Uuid) -> Option<usize>,
        is_waited_for: impl Fn(Uuid) -> bool,
    ) -> Ready {
        let mut ready = Ready::default();
        self.by_lease.retain(|lease_id, tasks| {
            let all_complete = tasks.iter().all(|task| task.verdict.is_completion());
            let remaining = remaining(*lease_id);
            let is_whole = remaining == Some(tasks.len());
            if all_complete && !is_whole && !late && !is_waited_for(*lease_id) {
                return true;
            }
            let leaves_more = tasks.iter().any(|task| task.keep || task.is_member);
            let tasks = std::mem::take(tasks);
            match remaining {
                Some(remaining) if all_complete && !leaves_more => {
                    let group = if is_whole {
                        &mut ready.whole
                    } else {
                        &mut ready.parts
                    };
                    group.push(Completed {
                        lease_id: *lease_id,
                        remaining,
                        tasks,
                    });
                }
                _ => ready.single.extend(tasks),
            }
            false
        });
        if self.by_lease.is_empty() || late {
            self.oldest = None;
        }
        ready
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attempt::verdict::Verdict;

    fn gathered(lease_id: Uuid, verdicts: &[Verdict]) -> Gathered {
        let mut gathered = Gathered::default();
        for (task_id, verdict) in (1..).zip(verdicts) {
            gathered.record(Settlement {
                lease_id,
                task_id,
                verdict: verdict.clone(),
                keep: false,
                is_member: false,
                mark: None,
                ended: None,
                report: None,
            });
        }
        gathered
    }

    #[test]
    fn a_lease_that_is_whole_is_written_at_once() {
        let lease_id = Uuid::new_v4();
        let mut gathered = gathered(lease_id, &[Verdict::Complete, Verdict::Complete]);
        let ready = gathered.take_ready(false, |_| Some(2), |_| false);
        assert_eq!(ready.whole.len(), 1);
        assert!(gathered.is_empty() && gathered.deadline().is_none());
    }

    #[test]
    fn a_part_of_a_lease_waits_for_the_rest_and_then_goes_alone() {
        let lease_id = Uuid::new_v4();
        let mut gathered = gathered(lease_id, &[Verdict::Complete]);
        let early = gathered.take_ready(false, |_| Some(2), |_| false);
        assert!(early.parts.is_empty() && gathered.deadline().is_some());
        let late = gathered.take_ready(true, |_| Some(2), |_| false);
        assert_eq!((late.parts.len(), late.parts[0].remaining), (1, 2));
    }

    #[test]
    fn one_task_that_did_not_complete_has_its_lease_written_task_by_task() {
        let lease_id = Uuid::new_v4();
        let mut gathered = gathered(lease_id, &[Verdict::Complete, Verdict::HandBack]);
        let ready = gathered.take_ready(false, |_| Some(3), |_| false);
        assert_eq!(ready.single.len(), 2);
    }

    #[test]
    fn outcomes_of_a_lease_that_was_lost_are_left_to_the_fence() {
        let lease_id = Uuid::new_v4();
        let mut gathered = gathered(lease_id, &[Verdict::Complete]);
        assert_eq!(
            gathered.take_ready(true, |_| None, |_| false).single.len(),
            1
        );
    }
}

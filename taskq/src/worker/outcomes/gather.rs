//! Which outcomes to write now: those of whole leases at once, the others when they have waited long
//! enough.
//!
//! A lease whose tasks have all completed is finished by deleting its row, which is the cheapest write
//! there is. So completed tasks wait a moment for the rest of their lease.

use std::fmt::Write;
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
    /// Leases that all their tasks leave, completed and kept.
    pub(crate) kept: Vec<Completed>,
    /// Leases that some of their tasks leave, completed and not kept.
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

impl Completed {
    /// Returns how many bytes the results of its tasks have.
    pub(crate) fn length_of_results(&self) -> usize {
        let results = self.tasks.iter().filter_map(|task| task.verdict.result());
        results.map(str::len).sum()
    }

    /// Returns the results of its tasks by their ids, as a JSON object, if any has one.
    pub(crate) fn results(&self) -> Option<String> {
        let mut object = String::new();
        for task in &self.tasks {
            if let Some(result) = task.verdict.result() {
                let before = if object.is_empty() { '{' } else { ',' };
                // A result is JSON itself.
                write!(object, "{before}\"{}\":{result}", task.task_id)
                    .expect("a string takes everything");
            }
        }
        (!object.is_empty()).then(|| object + "}")
    }
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
            let tasks = std::mem::take(tasks);
            let group = match all_leave(&tasks) {
                Some(Leaves::Nothing) if is_whole => Some(&mut ready.whole),
                Some(Leaves::Nothing) => Some(&mut ready.parts),
                Some(Leaves::Row) if is_whole => Some(&mut ready.kept),
                _ => None,
            };
            match (remaining, group) {
                (Some(remaining), Some(group)) => group.push(Completed {
                    lease_id: *lease_id,
                    remaining,
                    tasks,
                }),
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

/// What a completed task leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaves {
    Nothing,
    /// A row in the history, as it was in its lease but for its result.
    Row,
}

/// Returns what all of these tasks leave, if that is the same and counting them is enough.
fn all_leave(tasks: &[Settlement]) -> Option<Leaves> {
    let leaves = |task: &Settlement| match task.keep {
        _ if task.is_member || !task.verdict.is_completion() => None,
        // Why a result is missing is told among the errors of its task.
        true => task.verdict.error().is_none().then_some(Leaves::Row),
        false => Some(Leaves::Nothing),
    };
    let first = leaves(tasks.first()?);
    first.filter(|_| tasks.iter().all(|task| leaves(task) == first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attempt::outcome::{IntoKept, Kept, Outcome};
    use crate::attempt::verdict::Verdict;

    fn settlement(lease_id: Uuid, task_id: i64, verdict: Verdict) -> Settlement {
        Settlement {
            lease_id,
            task_id,
            verdict,
            keep: false,
            is_member: false,
            mark: None,
            ended: None,
            report: None,
        }
    }

    fn gathered(lease_id: Uuid, verdicts: &[Verdict]) -> Gathered {
        let mut gathered = Gathered::default();
        for (task_id, verdict) in (1..).zip(verdicts) {
            gathered.record(settlement(lease_id, task_id, verdict.clone()));
        }
        gathered
    }

    /// Gathers the outcomes of a whole lease of kept tasks, after something was done to the second.
    fn whole_and_kept(change: impl FnOnce(&mut Settlement)) -> Ready {
        let lease_id = Uuid::new_v4();
        let kept = |task_id| Settlement {
            keep: true,
            ..settlement(lease_id, task_id, Verdict::Complete)
        };
        let (first, mut second) = (kept(1), kept(2));
        change(&mut second);
        let mut gathered = Gathered::default();
        gathered.record(first);
        gathered.record(second);
        gathered.take_ready(false, |_| Some(2), |_| false)
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

    #[test]
    fn a_lease_that_is_whole_and_kept_is_written_at_once() {
        let ready = whole_and_kept(|_| ());
        assert_eq!((ready.kept.len(), ready.single.len()), (1, 0));
        assert_eq!(ready.kept[0].results(), None);
    }

    #[test]
    fn kept_tasks_of_which_one_is_of_another_kind_are_written_task_by_task() {
        let changes: [fn(&mut Settlement); 3] = [
            |task| task.keep = false,
            |task| task.is_member = true,
            |task| {
                let result = Kept::nothing("it is too long".to_owned());
                task.verdict = Verdict::Keep { result };
            },
        ];
        for change in changes {
            let ready = whole_and_kept(change);
            assert_eq!((ready.kept.len(), ready.single.len()), (0, 2));
        }
    }

    #[test]
    fn results_are_told_by_the_ids_of_their_tasks() {
        let lease_id = Uuid::new_v4();
        let kept = |returned: &str| match Ok::<_, String>(returned.to_owned()).into_kept() {
            Outcome::Kept(result) => Verdict::Keep { result },
            other => panic!("{other:?}"),
        };
        let verdicts = [kept("no \"more\""), Verdict::Complete, kept("c")];
        let tasks = (7..).zip(verdicts);
        let completed = Completed {
            lease_id,
            remaining: 3,
            tasks: tasks
                .map(|(task_id, verdict)| settlement(lease_id, task_id, verdict))
                .collect(),
        };
        let results = completed.results().expect("there are two");
        assert_eq!(results, r#"{"7":"no \"more\"","9":"c"}"#);
        assert_eq!(completed.length_of_results(), 16);
    }
}

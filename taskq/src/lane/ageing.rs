//! How waiting improves the turn of a lane.
//!
//! An aged lane comes to the rank of the best one that has something due, and no further: then both share each claim.
//! So what is urgent is never overtaken, and what is not gets its part. Nothing is written for that.

use std::time::Duration;

/// How long a task waits for one step of priority; `None` where waiting does not count.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ageing(pub(crate) Option<Duration>);

impl Ageing {
    /// Returns the rank of a lane of this priority whose first task has been due for so long, where the best priority
    /// that has something due is `best`.
    pub(super) fn rank(self, priority: i16, waited: Duration, best: i16) -> i16 {
        let Some(step) = self.0 else {
            return priority;
        };
        let steps = waited.as_micros() / step.as_micros().max(1);
        let steps = i16::try_from(steps).unwrap_or(i16::MAX);
        priority.saturating_sub(steps).max(best.min(priority))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn each_step_of_waiting_improves_the_rank_by_one_up_to_the_best() {
        let ageing = Ageing(Some(MINUTE));
        let rank_after = |minutes| ageing.rank(10, MINUTE * minutes, 7);
        assert_eq!([0, 1, 2, 3, 4, 1000].map(rank_after), [10, 9, 8, 7, 7, 7]);
        assert_eq!(ageing.rank(10, MINUTE - Duration::from_millis(1), 7), 10);
    }

    #[test]
    fn the_best_lane_does_not_improve() {
        let ageing = Ageing(Some(MINUTE));
        assert_eq!(ageing.rank(-5, MINUTE * 100, -5), -5);
        assert_eq!(ageing.rank(i16::MIN, Duration::MAX, i16::MIN), i16::MIN);
        assert_eq!(ageing.rank(i16::MAX, Duration::MAX, i16::MIN), 0);
    }

    #[test]
    fn without_ageing_a_lane_keeps_its_priority() {
        assert_eq!(Ageing::default().rank(10, MINUTE * 1000, 0), 10);
    }
}

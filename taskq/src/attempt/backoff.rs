//! How long a failed task waits for its next attempt.

use std::time::Duration;

/// The wait after the first failure, before jitter.
const FIRST: Duration = Duration::from_secs(5);

/// The longest wait, before jitter.
const LONGEST: Duration = Duration::from_secs(6 * 60 * 60);

/// How far a wait may be from its middle, as a part of it: tasks that failed together, because
/// something that they all need was down, do not come back together.
const JITTER: f64 = 0.2;

/// Returns the wait after the failure of attempt `number`, which counts from 1: 5 s, 10 s, 20 s,
/// and so on up to 6 h, each up to a fifth shorter or longer. `jitter` is random, in `0.0..1.0`.
///
/// With 25 attempts, the default, the last one begins some three days after the first.
pub(crate) fn backoff(number: u16, jitter: f64) -> Duration {
    let doublings = u32::from(number.saturating_sub(1)).min(31);
    let wait = FIRST.saturating_mul(1 << doublings).min(LONGEST);
    wait.mul_f64(1.0 + JITTER * (2.0 * jitter - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::defaults;

    #[test]
    fn the_wait_doubles_up_to_six_hours() {
        let middle = |number| backoff(number, 0.5).as_secs();
        assert_eq!(
            [1, 2, 3, 12, 13, 14, 25, u16::MAX].map(middle),
            [5, 10, 20, 10_240, 20_480, 21_600, 21_600, 21_600]
        );
    }

    #[test]
    fn jitter_moves_it_by_at_most_a_fifth() {
        assert_eq!(backoff(1, 0.0), Duration::from_secs(4));
        assert!(backoff(1, 0.999_999) < Duration::from_secs(6));
    }

    #[test]
    fn the_default_number_of_attempts_spans_three_days() {
        let total: Duration = (1..defaults::MAX_ATTEMPTS).map(|n| backoff(n, 0.5)).sum();
        let days = total.as_secs_f64() / 86_400.0;
        assert!((2.9..3.5).contains(&days), "{days}");
    }
}

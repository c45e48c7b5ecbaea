//! How long a failed task waits for its next attempt.

use std::error::Error;
use std::time::Duration;

/// The longest that a task is put off: a hundred years, which a timestamp can always hold.
pub(crate) const MAX_DELAY: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

/// The wait after the first failure where a type says nothing, before jitter.
const FIRST: Duration = Duration::from_secs(5);

/// The longest wait where a type says nothing, before jitter.
const LONGEST: Duration = Duration::from_secs(6 * 60 * 60);

/// How far a wait may be from its middle, as a part of it: tasks that failed together, because
/// something that they all need was down, do not come back together.
const JITTER: f64 = 0.2;

/// How long a failed task waits for its next attempt: what
/// [`Declaration::retry`](crate::handler::Declaration::retry) takes.
///
/// Each wait is up to a fifth longer or shorter than said here, by chance, so that tasks that failed together do not
/// come back together. It is at most a hundred years. A handler that asks for a wait by
/// [`retry_in`](crate::outcome::retry_in) gets that one, without chance.
///
/// ```
/// use std::time::Duration;
///
/// use taskq::handler::{Declaration, Retry};
///
/// const SECOND: Duration = Duration::from_secs(1);
/// const DECLARATION: Declaration = Declaration::new().retry(Retry::linear(SECOND, Duration::from_secs(60)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    policy: Policy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    Exponential { first: Duration, longest: Duration },
    Linear { step: Duration, longest: Duration },
    List(&'static [Duration]),
    Fixed(Duration),
}

/// A function that says how long a failed task waits: see [`Task::RETRY`](crate::handler::Task::RETRY).
pub type RetryFn<P> = fn(&P, u16, &(dyn Error + 'static)) -> Duration;

impl Retry {
    /// What holds where a type says nothing: 5 s, 10 s, 20 s, and so on up to 6 h.
    ///
    /// With 25 attempts, the default, the last one begins some three days after the first.
    pub const DEFAULT: Self = Self::exponential(FIRST, LONGEST);

    /// Waits for `first`, and each time twice as long as before, but never longer than `longest`.
    pub const fn exponential(first: Duration, longest: Duration) -> Self {
        Self {
            policy: Policy::Exponential { first, longest },
        }
    }

    /// Waits for `step`, and each time for another `step` more, but never longer than `longest`.
    pub const fn linear(step: Duration, longest: Duration) -> Self {
        Self {
            policy: Policy::Linear { step, longest },
        }
    }

    /// Waits for `wait` each time.
    pub const fn fixed(wait: Duration) -> Self {
        Self {
            policy: Policy::Fixed(wait),
        }
    }

    /// Waits for the first of `waits` after the first failure, for the second after the second, and so on. The last one
    /// repeats.
    ///
    /// # Panics
    ///
    /// When there is none; where a constant is made of it, the program does not compile.
    pub const fn list(waits: &'static [Duration]) -> Self {
        assert!(!waits.is_empty(), "a list of waits has at least one");
        Self {
            policy: Policy::List(waits),
        }
    }

    /// Returns the wait after the failure of attempt `number`, which counts from 1. `chance` is random, in `0.0..1.0`.
    pub(crate) fn wait(&self, number: u16, chance: f64) -> Duration {
        let number = number.max(1);
        let middle = match self.policy {
            Policy::Exponential { first, longest } => doubled(first, number - 1, longest),
            Policy::Linear { step, longest } => step.saturating_mul(number.into()).min(longest),
            Policy::Fixed(wait) => wait,
            Policy::List(waits) => {
                let last = waits.len().saturating_sub(1);
                let place = usize::from(number - 1).min(last);
                waits.get(place).copied().unwrap_or(FIRST)
            }
        };
        let wait = middle
            .min(MAX_DELAY)
            .mul_f64(1.0 + JITTER * (2.0 * chance - 1.0));
        wait.min(MAX_DELAY)
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self::DEFAULT
    }
}

fn doubled(first: Duration, times: u16, longest: Duration) -> Duration {
    let mut wait = first;
    for _ in 0..times {
        if wait >= longest || wait.is_zero() {
            break;
        }
        wait = wait.saturating_mul(2);
    }
    wait.min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::defaults;

    const SECOND: Duration = Duration::from_secs(1);

    fn middles(retry: Retry, numbers: [u16; 5]) -> [u64; 5] {
        numbers.map(|number| retry.wait(number, 0.5).as_secs())
    }

    #[test]
    fn the_wait_doubles_up_to_six_hours_where_nothing_is_said() {
        let middle = |number| Retry::DEFAULT.wait(number, 0.5).as_secs();
        assert_eq!(
            [1, 2, 3, 12, 13, 14, 25, u16::MAX].map(middle),
            [5, 10, 20, 10_240, 20_480, 21_600, 21_600, 21_600]
        );
    }

    #[test]
    fn each_way_to_wait_is_followed() {
        let numbers = [1, 2, 3, 4, u16::MAX];
        let minute = 60 * SECOND;
        for (retry, waits) in [
            (Retry::exponential(SECOND, 7 * SECOND), [1, 2, 4, 7, 7]),
            (
                Retry::linear(10 * SECOND, 35 * SECOND),
                [10, 20, 30, 35, 35],
            ),
            (Retry::fixed(minute), [60; 5]),
            (
                Retry::list(const { &[SECOND, Duration::from_secs(9), Duration::from_secs(5)] }),
                [1, 9, 5, 5, 5],
            ),
        ] {
            assert_eq!(middles(retry, numbers), waits, "{retry:?}");
        }
    }

    #[test]
    fn chance_moves_each_wait_by_at_most_a_fifth() {
        for retry in [
            Retry::exponential(5 * SECOND, 5 * SECOND),
            Retry::linear(5 * SECOND, 9 * SECOND),
            Retry::fixed(5 * SECOND),
            Retry::list(const { &[Duration::from_secs(5)] }),
        ] {
            assert_eq!(retry.wait(1, 0.0), 4 * SECOND, "{retry:?}");
            let longest = retry.wait(1, 0.999_999);
            assert!(longest > 5 * SECOND && longest < 6 * SECOND, "{retry:?}");
        }
    }

    #[test]
    fn a_wait_without_end_is_a_hundred_years_and_none_is_none() {
        for wait in [Duration::MAX, MAX_DELAY] {
            for retry in [
                Retry::exponential(wait, Duration::MAX),
                Retry::exponential(SECOND, wait),
                Retry::linear(wait, Duration::MAX),
                Retry::fixed(wait),
            ] {
                assert_eq!(retry.wait(u16::MAX, 0.999), MAX_DELAY, "{retry:?}");
            }
        }
        for retry in [
            Retry::exponential(Duration::ZERO, Duration::MAX),
            Retry::exponential(SECOND, Duration::ZERO),
            Retry::linear(Duration::ZERO, SECOND),
            Retry::fixed(Duration::ZERO),
        ] {
            for number in [0, 1, u16::MAX] {
                assert_eq!(retry.wait(number, 0.999), Duration::ZERO, "{retry:?}");
            }
        }
    }

    #[test]
    fn the_default_number_of_attempts_spans_three_days() {
        let total: Duration = (1..defaults::MAX_ATTEMPTS)
            .map(|n| Retry::DEFAULT.wait(n, 0.5))
            .sum();
        let days = total.as_secs_f64() / 86_400.0;
        assert!((2.9..3.5).contains(&days), "{days}");
    }
}

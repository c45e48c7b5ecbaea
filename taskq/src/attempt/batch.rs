//! What a handler of many payloads can know of its tasks, and what it returns.

use std::fmt;
use std::ops::Index;
use std::sync::Arc;
use std::time::Instant;

use crate::attempt::outcome::{IntoKept, IntoOutcome, Outcome};
use crate::attempt::{Attempt, Cancellation};

/// The metadata in which a task has how many others of its type it may run together with, itself included, since a call
/// for more of them has failed as a whole.
pub(crate) const MOST: &str = "task.batch";

/// The tasks of one call of a handler of many payloads, in the order of the payloads. A handler asks for it with an
/// argument of the type `&Batch`.
///
/// Each task has an [`Attempt`] of its own, with its id, its number and its idempotency keys. What one of them is told, such as
/// [`discard`](Attempt::discard), is decided about that task alone.
///
/// ```
/// # use std::io::Error;
/// # struct Gateway; impl Gateway { async fn push(&self, _key: String, _text: &str) -> Result<(), Error> { Ok(()) } }
/// use taskq::Batch;
///
/// #[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
/// struct SendPush { text: String }
///
/// #[taskq::task]
/// async fn push(
///     #[batch(100, "50ms")] pushes: Vec<SendPush>,
///     batch: &Batch,
///     gateway: &Gateway,
/// ) -> Vec<Result<(), Error>> {
///     let mut results = Vec::new();
///     for (push, attempt) in pushes.iter().zip(batch) {
///         let key = attempt.key("push").to_string();
///         results.push(gateway.push(key, &push.text).await);
///     }
///     results
/// }
/// ```
#[derive(Debug)]
pub struct Batch {
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) deadline: Instant,
    pub(crate) cancellation: Cancellation,
}

impl Batch {
    /// Returns how many tasks there are. At least one.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.attempts.len()
    }

    /// Returns the attempts at the tasks, in the order of the payloads.
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    /// Returns the attempts at the tasks, in the order of the payloads.
    pub fn iter(&self) -> std::slice::Iter<'_, Attempt> {
        self.attempts.iter()
    }

    /// Returns when the call times out, by this process's monotonic clock.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Tells whether the handler is asked to come to an end: its worker has begun to stop, or none of the tasks is
    /// wanted any more. Whether an operator has cancelled one of them is told by its
    /// [`Attempt::is_cancelled`].
    pub fn is_cancelled(&self) -> bool {
        self.cancellation.token().is_cancelled()
    }

    /// Waits until [`is_cancelled`](Self::is_cancelled).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the future may be dropped and made again.
    pub async fn cancelled(&self) {
        self.cancellation.token().cancelled().await;
    }
}

impl Index<usize> for Batch {
    type Output = Attempt;

    fn index(&self, at: usize) -> &Attempt {
        &self.attempts[at]
    }
}

impl<'a> IntoIterator for &'a Batch {
    type Item = &'a Attempt;
    type IntoIter = std::slice::Iter<'a, Attempt>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The end of a call, however it comes: work that the handler has spawned learns of it.
pub(crate) struct EndingBatch(pub(crate) Arc<Batch>);

impl Drop for EndingBatch {
    fn drop(&mut self) {
        if Arc::strong_count(&self.0) > 1 {
            self.0.cancellation.ask();
            self.0.attempts.iter().for_each(|it| it.says.end());
        }
    }
}

/// How a call of a handler of many payloads ended, as it tells it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcomes {
    /// In the same way for all tasks. A failure of all has each of them attempted again among fewer others.
    All(Outcome),
    /// In a way of its own for each task, in the order of the payloads. With fewer or more than there are payloads, all have
    /// failed.
    Each(Vec<Outcome>),
}

impl Outcomes {
    /// Returns the outcome of the only task.
    #[doc(hidden)]
    pub fn of_one(self) -> Outcome {
        match self.checked(1) {
            Self::All(outcome) => outcome,
            Self::Each(each) => each.into_iter().next().unwrap_or(Outcome::Completed),
        }
    }

    /// Makes outcomes that are not as many as the payloads a failure of all.
    pub(crate) fn checked(self, payloads: usize) -> Self {
        match &self {
            Self::Each(each) if each.len() != payloads => {
                let found = each.len();
                Self::All(Outcome::Failed(
                    WrongLength {
                        expected: payloads,
                        found,
                    }
                    .into(),
                ))
            }
            _ => self,
        }
    }
}

/// A handler of many payloads has returned another number of outcomes.
#[derive(Debug)]
struct WrongLength {
    expected: usize,
    found: usize,
}

impl fmt::Display for WrongLength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expected, found } = self;
        write!(
            f,
            "the handler was given {expected} payloads and returned {found} outcomes: return one for each payload, in their order"
        )
    }
}

impl std::error::Error for WrongLength {}

/// A type that a handler of many payloads may return: what any handler may, for all of them, or a `Vec` of that, with one
/// for each.
#[diagnostic::on_unimplemented(
    message = "a handler of many payloads returns `()` or `Result<T, E>` for all of them, or a `Vec<Result<T, E>>` with one for each, not `{Self}`",
    label = "not the outcomes of a batch",
    note = "`E` is any error that can be boxed: errors of std, anyhow, eyre and thiserror fit, and so do `String` and `&str`"
)]
pub trait IntoOutcomes {
    /// Tells how the call ended.
    fn into_outcomes(self) -> Outcomes;
}

#[diagnostic::do_not_recommend]
impl<T: IntoOutcome> IntoOutcomes for T {
    fn into_outcomes(self) -> Outcomes {
        Outcomes::All(self.into_outcome())
    }
}

#[diagnostic::do_not_recommend]
impl<T: IntoOutcome> IntoOutcomes for Vec<T> {
    fn into_outcomes(self) -> Outcomes {
        Outcomes::Each(self.into_iter().map(T::into_outcome).collect())
    }
}

/// A type that a handler of many payloads with `result = "keep"` may return: a result for each.
#[diagnostic::on_unimplemented(
    message = "`result = \"keep\"` of a handler of many payloads needs `Vec<Result<T, E>>` with `T: Serialize + DeserializeOwned` and `E: Into<Box<dyn Error + Send + Sync>>`, not `{Self}`",
    label = "no result for each payload",
    note = "each task keeps a result of its own: return one for each payload, in their order"
)]
pub trait IntoKeptEach {
    /// Tells how the call ended, and what is to be kept of it.
    fn into_kept_each(self) -> Outcomes;
}

#[diagnostic::do_not_recommend]
impl<T: IntoKept> IntoKeptEach for Vec<T> {
    fn into_kept_each(self) -> Outcomes {
        Outcomes::Each(self.into_iter().map(T::into_kept).collect())
    }
}

/// Returns beside how many others at the most a task is attempted again, itself included, whose call failed for `size`
/// tasks. Half of them; fewer where few attempts are left, so that the last one is made alone.
pub(crate) fn next_most(size: usize, number: u16, max_attempts: u16) -> usize {
    let left = u32::from(max_attempts.saturating_sub(number));
    // The smallest part by which the attempts that are left come down to one.
    let is_enough = |part: &usize| part.checked_pow(left).is_none_or(|all| all >= size);
    let part = match left {
        0 => size,
        _ => (2..=size).find(is_enough).unwrap_or(size),
    };
    (size / part.max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns among how many a task is attempted that always fails in company.
    fn sizes(size: usize, max_attempts: u16) -> Vec<usize> {
        let mut sizes = vec![size];
        for number in 1..max_attempts {
            sizes.push(next_most(sizes[sizes.len() - 1], number, max_attempts));
        }
        sizes
    }

    #[test]
    fn a_batch_that_fails_is_halved_until_its_tasks_are_alone() {
        let halved = [1000, 500, 250, 125, 62, 31, 15, 7, 3, 1, 1];
        assert_eq!(sizes(1000, 25)[..11], halved);
    }

    #[test]
    fn the_last_attempt_is_made_alone_however_few_there_are() {
        for max_attempts in 2..15 {
            for size in [2, 3, 10, 999, 1000, 10_000] {
                let sizes = sizes(size, max_attempts);
                assert_eq!(
                    sizes.last(),
                    Some(&1),
                    "{size} in {max_attempts}: {sizes:?}"
                );
                assert!(sizes.windows(2).all(|it| it[1] <= it[0].div_ceil(2)));
            }
        }
        assert_eq!(sizes(1000, 2), [1000, 1]);
        assert_eq!(sizes(1000, 3), [1000, 31, 1]);
    }

    #[test]
    fn outcomes_that_are_not_as_many_as_the_payloads_are_a_failure_of_all() {
        let each = || Outcomes::Each(vec![Outcome::Completed, Outcome::Completed]);
        assert!(matches!(each().checked(2), Outcomes::Each(_)));
        for payloads in [1, 3] {
            let Outcomes::All(Outcome::Failed(error)) = each().checked(payloads) else {
                panic!("{payloads}")
            };
            let text = format!("was given {payloads} payloads and returned 2 outcomes");
            assert!(error.to_string().contains(&text), "{error}");
        }
    }

    #[test]
    fn a_vector_is_one_outcome_for_each_and_all_else_is_one_for_all() {
        let each = vec![Ok::<_, String>(()), Err("no".into())].into_outcomes();
        assert!(matches!(each, Outcomes::Each(each) if each.len() == 2));
        assert!(matches!(().into_outcomes(), Outcomes::All(_)));
        // What a `Result` holds is no outcome.
        let all = Ok::<Vec<()>, String>(vec![]).into_outcomes();
        assert!(matches!(all, Outcomes::All(Outcome::Completed)));
    }
}

//! Who waits for which task, and for which tasks to ask when.
//!
//! Times are since a moment of the owner's. A task is asked for at times that are multiples of its pause, so that the
//! queries for many tasks are one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::store::ResultRow;

/// The least pause between two looks at a task whose end nobody tells…
const SHORTEST: Duration = Duration::from_millis(50);

/// … and the longest.
const LONGEST: Duration = Duration::from_millis(1_600);

/// How much longer both are where the end is told.
const WHERE_TOLD: u32 = 8;

/// What part of the time that it was waited for a pause may be.
const PART: u32 = 8;

/// What a waiting caller is told.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// The task has ended, or is nowhere.
    Ended(Arc<ResultRow>),
    /// Postgres refuses to tell.
    Failed(Arc<sqlx::Error>),
}

/// A caller's wish to be told of a task's end.
#[derive(Debug)]
pub(super) struct Wait {
    task_id: i64,
    /// Whether the end is told on the channel.
    pub(super) is_told: bool,
    caller: oneshot::Sender<Answer>,
}

impl Wait {
    pub(super) fn of(task_id: i64, is_told: bool) -> (Self, oneshot::Receiver<Answer>) {
        let (caller, answer) = oneshot::channel();
        let wait = Self {
            task_id,
            is_told,
            caller,
        };
        (wait, answer)
    }
}

/// All who wait.
#[derive(Debug, Default)]
pub(super) struct Book {
    tasks: HashMap<i64, Awaited>,
}

#[derive(Debug)]
struct Awaited {
    callers: Vec<oneshot::Sender<Answer>>,
    is_told: bool,
    since: Duration,
    next: Duration,
}

impl Book {
    /// Enters a caller. Its task is asked for at once.
    pub(super) fn enter(&mut self, wait: Wait, now: Duration) {
        let task = self.tasks.entry(wait.task_id).or_insert_with(|| Awaited {
            callers: Vec::new(),
            is_told: false,
            since: now,
            next: now,
        });
        task.callers.push(wait.caller);
        task.is_told |= wait.is_told;
        task.next = now;
    }

    /// Strikes out the callers that have gone away. Returns whether nobody waits.
    pub(super) fn is_empty(&mut self) -> bool {
        self.tasks.retain(|_, task| {
            task.callers.retain(|caller| !caller.is_closed());
            !task.callers.is_empty()
        });
        self.tasks.is_empty()
    }

    /// Has a task asked for at once, if somebody waits for it.
    pub(super) fn hurry(&mut self, task_id: i64, now: Duration) {
        if let Some(task) = self.tasks.get_mut(&task_id) {
            task.next = now;
        }
    }

    /// Has all tasks asked for at once whose ends are told: what was told may be lost.
    pub(super) fn hurry_told(&mut self, now: Duration) {
        for task in self.tasks.values_mut().filter(|task| task.is_told) {
            task.next = now;
        }
    }

    /// Returns when to ask next.
    pub(super) fn next(&self) -> Option<Duration> {
        self.tasks.values().map(|task| task.next).min()
    }

    /// Returns the tasks to ask for now, at most so many, and says when to ask for them again.
    pub(super) fn take_due(&mut self, now: Duration, is_heard: bool, most: usize) -> Vec<i64> {
        let due = self.tasks.iter_mut().filter(|(_, task)| task.next <= now);
        due.take(most)
            .map(|(task_id, task)| {
                let waited = now.saturating_sub(task.since);
                task.next = multiple_after(now, pause(waited, task.is_told && is_heard));
                *task_id
            })
            .collect()
    }

    /// Tells all who wait for a task.
    pub(super) fn answer(&mut self, task_id: i64, answer: &Answer) {
        let task = self.tasks.remove(&task_id);
        for caller in task.into_iter().flat_map(|task| task.callers) {
            // One that has gone away needs no answer.
            let _ = caller.send(answer.clone());
        }
    }

    /// Tells all who wait the same.
    pub(super) fn answer_all(&mut self, answer: &Answer) {
        let all: Vec<i64> = self.tasks.keys().copied().collect();
        for task_id in all {
            self.answer(task_id, answer);
        }
    }
}

/// Returns how long to wait until a task is asked for again: a power of two times the shortest pause.
fn pause(waited: Duration, is_told: bool) -> Duration {
    let times = if is_told { WHERE_TOLD } else { 1 };
    let mut pause = SHORTEST * times;
    while pause * 2 <= waited / PART && pause < LONGEST * times {
        pause *= 2;
    }
    pause
}

/// Returns the first multiple of a pause after a time.
fn multiple_after(now: Duration, pause: Duration) -> Duration {
    let rest = now.as_nanos() % pause.as_nanos();
    let rest = u64::try_from(rest).expect("a rest is less than a pause");
    now + pause - Duration::from_nanos(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn ended() -> Answer {
        Answer::Ended(Arc::new(ResultRow {
            state: "completed".into(),
            result: None,
            error: None,
        }))
    }

    #[test]
    fn pauses_grow_with_the_time_that_was_waited() {
        let pauses = [0, 799, 800, 1_600, 12_800, 3_600_000].map(|it| pause(ms(it), false));
        assert_eq!(pauses, [50, 50, 100, 200, 1_600, 1_600].map(ms));
        let told = [0, 6_400, 102_400, 3_600_000].map(|it| pause(ms(it), true));
        assert_eq!(told, [400, 800, 12_800, 12_800].map(ms));
    }

    #[test]
    fn a_thousand_that_come_at_any_time_are_asked_for_together() {
        let mut book = Book::default();
        let mut answers = Vec::new();
        for task_id in 0..1_000 {
            let (wait, answer) = Wait::of(task_id, false);
            book.enter(wait, ms(u64::try_from(task_id).expect("positive") * 7 / 10));
            answers.push(answer);
        }
        let mut now = ms(700);
        let mut queries = 0;
        while now < ms(10_700) {
            assert!(!book.take_due(now, false, usize::MAX).is_empty());
            queries += 1;
            now = book.next().expect("they wait");
        }
        // Sixteen while the last of them is new, and fewer and fewer.
        assert!((20..60).contains(&queries), "{queries} queries in 10 s");
    }

    #[test]
    fn a_task_is_asked_for_at_once_and_when_its_end_is_told() {
        let mut book = Book::default();
        let (told, _told) = Wait::of(1, true);
        let (other, _other) = Wait::of(2, false);
        book.enter(told, ms(10));
        book.enter(other, ms(10));
        assert_eq!(book.next(), Some(ms(10)));
        assert_eq!(book.take_due(ms(10), true, 10).len(), 2);
        assert_eq!(book.next(), Some(ms(50)), "that of the other");
        book.hurry(1, ms(20));
        book.hurry(3, ms(20));
        assert_eq!(book.take_due(ms(20), true, 10), [1]);
        book.hurry_told(ms(30));
        assert_eq!(book.take_due(ms(30), true, 10), [1]);
        assert!(book.take_due(ms(30), true, 10).is_empty());
    }

    #[test]
    fn more_than_fit_into_a_query_are_asked_for_by_the_next() {
        let mut book = Book::default();
        let waits: Vec<_> = (0..25).map(|task_id| Wait::of(task_id, false)).collect();
        let mut answers = Vec::new();
        for (wait, answer) in waits {
            book.enter(wait, ms(0));
            answers.push(answer);
        }
        let sizes = [(); 4].map(|()| book.take_due(ms(0), false, 10).len());
        assert_eq!(sizes, [10, 10, 5, 0]);
    }

    #[test]
    fn all_callers_of_a_task_are_told_and_nobody_else() {
        let mut book = Book::default();
        let (first, mut told) = Wait::of(1, false);
        let (second, mut also_told) = Wait::of(1, false);
        let (third, mut other) = Wait::of(2, false);
        for wait in [first, second, third] {
            book.enter(wait, ms(0));
        }
        book.answer(1, &ended());
        assert!(told.try_recv().is_ok() && also_told.try_recv().is_ok());
        assert!(other.try_recv().is_err());
        assert!(!book.is_empty());
        drop(other);
        assert!(book.is_empty(), "the last caller has gone away");
    }
}

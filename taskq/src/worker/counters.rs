//! How attempts ended and how long they took, counted by queue and task type until a heartbeat writes it down.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::HashMap;

use crate::attempt::spread::Spread;
use crate::attempt::verdict::Verdict;

/// What a worker has counted.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// What attempts add to.
    fresh: Mutex<Tallies>,
    gathered: Mutex<Gathered>,
}

/// The place of a queue in the worker's settings, and a task type.
pub(crate) type Kind = (usize, &'static str);

type Tallies = HashMap<Kind, Tally>;

/// What attempts do not add to any more.
#[derive(Debug, Default)]
struct Gathered {
    /// What is to be added to the counters of the database.
    counters: Tallies,
    /// What is to be added to its minutes.
    minutes: Tallies,
    /// All since the worker was made.
    #[cfg(feature = "metrics")]
    totals: Tallies,
}

/// What was counted of one kind.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tally {
    /// In the order of [`Verdict::NAMES`].
    outcomes: [u64; Verdict::NAMES.len()],
    /// How long tasks had been due when their handlers started, and how long the handlers ran: of attempts that count.
    pub(crate) wait: Spread,
    pub(crate) run: Spread,
    /// All of these times together.
    pub(crate) sums: Times,
}

/// How long an attempt took whose handler came to its end.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) wait: Duration,
    pub(crate) run: Duration,
}

impl Counters {
    /// Counts one attempt.
    pub(crate) fn add(&self, kind: Kind, verdict: &Verdict, times: Option<Times>) {
        let mut fresh = lock(&self.fresh);
        let tally = fresh.entry(kind).or_default();
        tally.outcomes[verdict.place()] += 1;
        if let Some(times) = times
            && verdict.counts()
        {
            tally.wait.record(times.wait);
            tally.run.record(times.run);
            tally.sums.add(times);
        }
    }

    /// Gathers what was counted since the last time, and returns it, in the order of the kinds.
    pub(crate) fn gather(&self) -> Vec<(Kind, Tally)> {
        let mut gathered = lock(&self.gathered);
        let fresh = drain(&mut lock(&self.fresh));
        merge(&mut gathered.counters, &fresh);
        #[cfg(feature = "metrics")]
        merge(&mut gathered.totals, &fresh);
        fresh
    }

    /// Takes what is to be added to the counters of the database, in the order of the kinds.
    pub(crate) fn take(&self) -> Vec<(Kind, Tally)> {
        drain(&mut lock(&self.gathered).counters)
    }

    /// Takes back what could not be added.
    pub(crate) fn put_back(&self, counted: &[(Kind, Tally)]) {
        merge(&mut lock(&self.gathered).counters, counted);
    }

    /// Takes what is to be added to the minutes of the database, in the order of the kinds.
    pub(crate) fn take_minutes(&self) -> Vec<(Kind, Tally)> {
        drain(&mut lock(&self.gathered).minutes)
    }

    /// Records what is to be added to the minutes.
    pub(crate) fn put_minutes(&self, counted: &[(Kind, Tally)]) {
        merge(&mut lock(&self.gathered).minutes, counted);
    }

    /// Returns all that was gathered since the worker was made, in the order of the kinds.
    #[cfg(feature = "metrics")]
    pub(crate) fn totals(&self) -> Vec<(Kind, Tally)> {
        let gathered = lock(&self.gathered);
        let mut totals: Vec<_> = gathered
            .totals
            .iter()
            .map(|(kind, tally)| (*kind, tally.clone()))
            .collect();
        totals.sort_unstable_by_key(|(kind, _)| *kind);
        totals
    }
}

impl Tally {
    /// Returns how many attempts ended in each way that one did.
    pub(crate) fn outcomes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let outcomes = Verdict::NAMES.into_iter().zip(self.outcomes);
        outcomes.filter(|(_, number)| *number > 0)
    }

    /// Returns how many attempts ended in this way.
    pub(crate) fn number(&self, outcome: &str) -> u64 {
        let mut outcomes = self.outcomes();
        let found = outcomes.find(|(name, _)| *name == outcome);
        found.map_or(0, |(_, number)| number)
    }

    fn merge(&mut self, other: &Self) {
        for (own, number) in self.outcomes.iter_mut().zip(other.outcomes) {
            *own += number;
        }
        self.wait.merge(&other.wait);
        self.run.merge(&other.run);
        self.sums.add(other.sums);
    }
}

impl Times {
    fn add(&mut self, other: Self) {
        self.wait = self.wait.saturating_add(other.wait);
        self.run = self.run.saturating_add(other.run);
    }
}

fn drain(tallies: &mut Tallies) -> Vec<(Kind, Tally)> {
    let mut tallies: Vec<_> = std::mem::take(tallies).into_iter().collect();
    tallies.sort_unstable_by_key(|(kind, _)| *kind);
    tallies
}

fn merge(tallies: &mut Tallies, counted: &[(Kind, Tally)]) {
    for (kind, tally) in counted {
        tallies.entry(*kind).or_default().merge(tally);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_written_is_taken_again_with_what_came_since() {
        let counters = Counters::default();
        let count = |verdict: &Verdict| {
            let times = Times {
                wait: Duration::from_millis(3),
                run: Duration::from_millis(1),
            };
            counters.add((0, "greet"), verdict, Some(times));
        };
        count(&Verdict::Complete);
        // It neither succeeded nor failed.
        count(&Verdict::HandBack);
        assert_eq!(counters.gather().len(), 1);
        let taken = counters.take();
        assert!(counters.take().is_empty());
        counters.put_back(&taken);
        count(&Verdict::Complete);
        counters.gather();
        let taken = counters.take();
        let (kind, tally) = &taken[0];
        assert_eq!(*kind, (0, "greet"));
        let outcomes: Vec<_> = tally.outcomes().collect();
        assert_eq!(outcomes, [("completed", 2), ("hand_back", 1)]);
        assert_eq!((tally.wait.count(), tally.run.count()), (2, 2));
        assert_eq!(tally.sums.wait, Duration::from_millis(6));
        counters.put_minutes(&taken);
        assert_eq!(counters.take_minutes()[0].1.number("completed"), 2);
        assert!(counters.take_minutes().is_empty());
    }
}

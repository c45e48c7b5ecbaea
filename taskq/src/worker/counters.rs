//! How attempts ended and how long they took, counted by queue and task type until a heartbeat writes it down.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::HashMap;

use crate::attempt::spread::Spread;
use crate::attempt::verdict::Verdict;

/// What has been counted and not written yet.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    tallies: Mutex<HashMap<Kind, Tally>>,
    /// What is in the counters of the database, and not in its minutes yet.
    minutes: Mutex<HashMap<Kind, Tally>>,
}

/// The place of a queue in the worker's settings, and a task type.
pub(crate) type Kind = (usize, &'static str);

/// What was counted of one kind.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tally {
    /// In the order of [`Verdict::NAMES`].
    outcomes: [u64; Verdict::NAMES.len()],
    /// How long tasks had been due when their handlers started, and how long the handlers ran: of attempts that count.
    pub(crate) wait: Spread,
    pub(crate) run: Spread,
}

/// How long an attempt took whose handler came to its end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) wait: Duration,
    pub(crate) run: Duration,
}

impl Counters {
    /// Counts one attempt.
    pub(crate) fn add(&self, kind: Kind, verdict: &Verdict, times: Option<Times>) {
        let mut tallies = lock(&self.tallies);
        let tally = tallies.entry(kind).or_default();
        tally.outcomes[verdict.place()] += 1;
        if let Some(times) = times
            && verdict.counts()
        {
            tally.wait.record(times.wait);
            tally.run.record(times.run);
        }
    }

    /// Takes what was counted, for writing it down, in the order of the kinds.
    pub(crate) fn take(&self) -> Vec<(Kind, Tally)> {
        drain(&self.tallies)
    }

    /// Takes back what could not be written.
    pub(crate) fn put_back(&self, counted: Vec<(Kind, Tally)>) {
        merge(&self.tallies, counted);
    }

    /// Takes what was not written among the minutes yet.
    pub(crate) fn take_minutes(&self) -> Vec<(Kind, Tally)> {
        drain(&self.minutes)
    }

    /// Records what is to be written among the minutes.
    pub(crate) fn put_minutes(&self, counted: Vec<(Kind, Tally)>) {
        merge(&self.minutes, counted);
    }
}

fn drain(tallies: &Mutex<HashMap<Kind, Tally>>) -> Vec<(Kind, Tally)> {
    let tallies = std::mem::take(&mut *lock(tallies));
    let mut tallies: Vec<_> = tallies.into_iter().collect();
    tallies.sort_unstable_by_key(|(kind, _)| *kind);
    tallies
}

fn merge(tallies: &Mutex<HashMap<Kind, Tally>>, counted: Vec<(Kind, Tally)>) {
    let mut tallies = lock(tallies);
    for (kind, tally) in counted {
        tallies.entry(kind).or_default().merge(&tally);
    }
}

fn lock(tallies: &Mutex<HashMap<Kind, Tally>>) -> MutexGuard<'_, HashMap<Kind, Tally>> {
    tallies.lock().unwrap_or_else(PoisonError::into_inner)
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
        outcomes
            .find(|(name, _)| *name == outcome)
            .map_or(0, |(_, number)| number)
    }

    fn merge(&mut self, other: &Self) {
        for (own, number) in self.outcomes.iter_mut().zip(other.outcomes) {
            *own += number;
        }
        self.wait.merge(&other.wait);
        self.run.merge(&other.run);
    }
}

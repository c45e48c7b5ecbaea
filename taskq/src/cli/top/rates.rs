//! How many tasks come and go in a minute.
//!
//! Workers count what they have done. What has come nobody counts: it is what went, and what there is more than before.

use std::collections::{HashMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};

use crate::operate::minutes::Minute;
use crate::operate::stats::{KindStats, Stats};

/// Growth is that of so long a time.
const SPAN: TimeDelta = TimeDelta::seconds(60);

/// A time that is shorter says nothing.
const SHORTEST: TimeDelta = TimeDelta::seconds(5);

type Kind = (String, String);

/// How much there was, at some moments of the last minute.
#[derive(Debug, Default)]
pub(super) struct Rates {
    past: VecDeque<(DateTime<Utc>, HashMap<Kind, i64>)>,
}

/// So many tasks a minute.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Rate {
    pub(super) come: Option<f64>,
    pub(super) go: f64,
}

impl Rates {
    pub(super) fn record(&mut self, stats: &Stats) {
        // Of what was counted up to a limit nobody knows how it grows.
        let is_exact = |kind: &&KindStats| kind.due.max(kind.scheduled) < kind.counted_to;
        let held = stats.kinds.iter().filter(is_exact).map(|kind| {
            let held = kind.due + kind.scheduled + kind.running;
            ((kind.queue.clone(), kind.task_type.clone()), held)
        });
        self.past.push_back((stats.at, held.collect()));
        while self.past.len() > 2 && self.past[1].0 + SPAN <= stats.at {
            self.past.pop_front();
        }
    }

    pub(super) fn of(&self, kind: &KindStats, minutes: &[Minute], now: DateTime<Utc>) -> Rate {
        let go = went(kind, minutes, now);
        let grown = self.growth(&(kind.queue.clone(), kind.task_type.clone()));
        let come = grown.map(|grown| (go + grown).max(0.0));
        Rate { come, go }
    }

    fn growth(&self, kind: &Kind) -> Option<f64> {
        let (first, last) = (self.past.front()?, self.past.back()?);
        let span = last.0 - first.0;
        let now = last.1.get(kind)?;
        // What was not there before has come since.
        let before = first.1.get(kind).unwrap_or(&0);
        let minutes = span.as_seconds_f64() / 60.0;
        (span >= SHORTEST).then(|| (now - before) as f64 / minutes)
    }
}

/// Returns how many tasks of a kind completed or died in a minute: in those minutes that were read, of which the last is
/// under way.
fn went(kind: &KindStats, minutes: &[Minute], now: DateTime<Utc>) -> f64 {
    let of_kind =
        |minute: &&Minute| minute.queue == kind.queue && minute.task_type == kind.task_type;
    let total: i64 = (minutes.iter().filter(of_kind))
        .map(|minute| minute.completed + minute.died)
        .sum();
    let Some(first) = minutes.iter().map(|minute| minute.minute).min() else {
        return 0.0;
    };
    let span = (now - first).as_seconds_f64().max(60.0);
    total as f64 * 60.0 / span
}

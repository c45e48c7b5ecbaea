//! Brakes: task types of which one payload after the other does not decode. A worker claims no more of them but one
//! task now and then, a probe, so that a release which cannot read what others enqueue sets some tens aside and
//! not fifty thousand.
//!
//! A brake is about a task type and a payload version, in all queues. One payload that decodes releases it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::TimeDelta;

use super::{Lane, Share};

/// So many payloads in a row that do not decode brake their type. Where half of the payloads decode, a million tasks
/// have such a row about once; and so many tasks an operator still looks through.
pub(crate) const BRAKED_AFTER: u32 = 20;

/// A row of them is at an end if so long none came. A few that came hours apart are no sudden change.
const ROW_ENDS_AFTER: Duration = Duration::from_secs(60);

/// How long after the brake closed the first probe is claimed; doubled with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How far behind the head of a lane a probe is at most, in doublings of a second: three days.
const FARTHEST_PROBE: f64 = 18.0;

/// The brakes of a worker.
#[derive(Debug, Default)]
pub(crate) struct Brakes {
    brakes: Mutex<Vec<Brake>>,
    /// Whether there are any: as good as never.
    has_some: AtomicBool,
}

/// A task type, in one payload version, whose last payload did not decode.
#[derive(Debug)]
struct Brake {
    task_type: String,
    payload_version: i16,
    /// How many in a row did not decode.
    count: u32,
    last: Instant,
    /// Present once they were so many that the brake closed.
    closed: Option<Closed>,
}

#[derive(Debug)]
struct Closed {
    next_probe: Instant,
    pause: Duration,
    probes: u32,
    /// Whether the next task that does not decode is taken for the probe.
    is_probing: bool,
}

/// What becomes of a task whose payload does not decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Undecoded {
    SetAside,
    /// It is set aside, and the brake closes.
    LastSetAside,
    /// It waits with the others.
    HandedBack,
}

impl Brakes {
    pub(crate) fn has_some(&self) -> bool {
        self.has_some.load(Ordering::Relaxed)
    }

    /// Records that a payload does not decode.
    pub(crate) fn record_invalid(
        &self,
        task_type: &str,
        payload_version: i16,
        now: Instant,
    ) -> Undecoded {
        let mut brakes = self.lock();
        brakes.retain(|brake| !brake.is_over(now));
        self.has_some.store(true, Ordering::Relaxed);
        let is_it = |brake: &&mut Brake| brake.is_of(task_type, payload_version);
        match brakes.iter_mut().find(is_it) {
            Some(brake) => brake.record_invalid(now),
            None => {
                brakes.push(Brake {
                    task_type: task_type.to_owned(),
                    payload_version,
                    count: 1,
                    last: now,
                    closed: None,
                });
                Undecoded::SetAside
            }
        }
    }

    /// Records that a payload decodes, and tells whether that releases a brake.
    pub(crate) fn record_decoded(
        &self,
        task_type: &str,
        payload_version: i16,
        now: Instant,
    ) -> bool {
        if !self.has_some() {
            return false;
        }
        let mut brakes = self.lock();
        let mut is_released = false;
        brakes.retain(|brake| {
            let is_it = brake.is_of(task_type, payload_version);
            is_released |= is_it && brake.closed.is_some();
            !is_it && !brake.is_over(now)
        });
        self.has_some.store(!brakes.is_empty(), Ordering::Relaxed);
        is_released
    }

    /// Has the next probes claimed at once.
    pub(crate) fn probe_now(&self, now: Instant) {
        if self.has_some() {
            let mut brakes = self.lock();
            for closed in brakes.iter_mut().filter_map(|brake| brake.closed.as_mut()) {
                *closed = Closed::opening_at(now);
            }
        }
    }

    /// Returns until when nothing is claimed from a lane, if it is closed.
    pub(crate) fn closed_until(&self, lane: &Lane, now: Instant) -> Option<Instant> {
        let mut brakes = self.lock();
        let closed = closed_of(&mut brakes, lane)?;
        (now < closed.next_probe).then_some(closed.next_probe)
    }

    /// Leaves of a claim's shares those of open lanes, and one for a probe where it is time for that. Returns when it
    /// is time for the next probe.
    pub(crate) fn narrow(&self, shares: &mut Vec<Share>, now: Instant) -> Option<Instant> {
        if !self.has_some() {
            return None;
        }
        let mut next = None::<Instant>;
        let mut brakes = self.lock();
        shares.retain_mut(|share| {
            let Some(closed) = closed_of(&mut brakes, &share.lane) else {
                return true;
            };
            let is_probe = now >= closed.next_probe;
            if is_probe {
                closed.begin_probe(share, now);
            }
            next = next.into_iter().chain([closed.next_probe]).min();
            is_probe
        });
        next
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Brake>> {
        self.brakes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Brake {
    fn is_of(&self, task_type: &str, payload_version: i16) -> bool {
        self.payload_version == payload_version && self.task_type == task_type
    }

    fn is_over(&self, now: Instant) -> bool {
        self.closed.is_none() && now.saturating_duration_since(self.last) >= ROW_ENDS_AFTER
    }

    fn record_invalid(&mut self, now: Instant) -> Undecoded {
        self.last = now;
        self.count = self.count.saturating_add(1);
        match &mut self.closed {
            None if self.count < BRAKED_AFTER => Undecoded::SetAside,
            None => {
                self.closed = Some(Closed::opening_at(now + FIRST_PAUSE));
                Undecoded::LastSetAside
            }
            Some(closed) if closed.is_probing => {
                closed.is_probing = false;
                Undecoded::SetAside
            }
            Some(_) => Undecoded::HandedBack,
        }
    }
}

impl Closed {
    fn opening_at(next_probe: Instant) -> Self {
        Self {
            next_probe,
            pause: FIRST_PAUSE,
            probes: 0,
            is_probing: false,
        }
    }

    /// Has a share bring one task. Every second one stands somewhere behind the lane's head, by seconds or by days:
    /// tasks that decode may stand behind many that do not.
    fn begin_probe(&mut self, share: &mut Share, now: Instant) {
        self.next_probe = now + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.probes += 1;
        self.is_probing = true;
        share.limit = 1;
        if self.probes.is_multiple_of(2) {
            let seconds = 2_f64.powf(fastrand::f64() * FARTHEST_PROBE);
            let behind = Duration::from_secs_f64(seconds);
            share.cursor.run_at += TimeDelta::from_std(behind).unwrap_or_default();
        }
    }
}

fn closed_of<'a>(brakes: &'a mut [Brake], lane: &Lane) -> Option<&'a mut Closed> {
    let is_it = |brake: &&mut Brake| brake.is_of(&lane.task_type, lane.payload_version);
    brakes.iter_mut().find(is_it)?.closed.as_mut()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::fixtures::{lane, place};

    fn shares(task_types: &[&str]) -> Vec<Share> {
        let share = |task_type: &&str| Share {
            lane: lane(task_type, 0, 0),
            cursor: place(0),
            is_reserved: false,
            range_end: None,
            limit: 50,
            rank: 0,
            is_by_chance: false,
            at: 0,
        };
        task_types.iter().map(share).collect()
    }

    /// Returns the type and the limit of each share that is left.
    fn narrowed(brakes: &Brakes, task_types: &[&str], now: Instant) -> Vec<(String, usize)> {
        let mut shares = shares(task_types);
        brakes.narrow(&mut shares, now);
        let left = shares.into_iter();
        left.map(|share| (share.lane.task_type, share.limit))
            .collect()
    }

    fn braked(now: Instant) -> Brakes {
        let brakes = Brakes::default();
        let became: Vec<_> = (0..BRAKED_AFTER)
            .map(|_| brakes.record_invalid("a", 1, now))
            .collect();
        let (last, others) = became.split_last().expect("some");
        assert_eq!(*last, Undecoded::LastSetAside);
        assert!(others.iter().all(|it| *it == Undecoded::SetAside));
        brakes
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_type_is_braked_when_twenty_in_a_row_do_not_decode() {
        let now = Instant::now();
        let brakes = braked(now);
        assert_eq!(brakes.record_invalid("a", 1, now), Undecoded::HandedBack);
        assert_eq!(
            brakes.closed_until(&lane("a", 0, 5), now),
            Some(now + FIRST_PAUSE)
        );
        assert_eq!(brakes.closed_until(&lane("b", 0, 0), now), None);
        assert_eq!(
            narrowed(&brakes, &["a", "b", "a"], now),
            [("b".to_owned(), 50)]
        );
        assert_eq!(brakes.record_invalid("a", 2, now), Undecoded::SetAside);
    }

    #[test]
    fn a_type_of_which_some_decode_is_not_braked() {
        let (brakes, now) = (Brakes::default(), Instant::now());
        for _ in 0..10 {
            for _ in 1..BRAKED_AFTER {
                assert_eq!(brakes.record_invalid("a", 1, now), Undecoded::SetAside);
            }
            assert!(!brakes.record_decoded("a", 1, now));
        }
        assert!(!brakes.has_some());
    }

    #[test]
    fn a_few_that_come_now_and_then_brake_nothing_and_are_forgotten() {
        let (brakes, now) = (Brakes::default(), Instant::now());
        for minute in 0..100 {
            let then = now + seconds(60) * minute;
            assert_eq!(brakes.record_invalid("a", 1, then), Undecoded::SetAside);
        }
        assert!(brakes.has_some());
        brakes.record_decoded("b", 1, now + seconds(60) * 100);
        assert!(!brakes.has_some());
    }

    #[test]
    fn a_probe_costs_one_task_and_the_next_comes_later() {
        let now = Instant::now();
        let brakes = braked(now);
        let mut pauses = Vec::new();
        let mut last = now;
        for second in 1..=200 {
            let now = now + seconds(second);
            let left = narrowed(&brakes, &["a", "a"], now);
            if left.is_empty() {
                continue;
            }
            assert_eq!(left, [("a".to_owned(), 1)], "one probe");
            pauses.push((now - last).as_secs());
            last = now;
            assert_eq!(brakes.record_invalid("a", 1, now), Undecoded::SetAside);
            assert_eq!(brakes.record_invalid("a", 1, now), Undecoded::HandedBack);
        }
        assert_eq!(pauses, [1, 1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn every_second_probe_is_of_some_time_behind_the_head() {
        let now = Instant::now();
        let brakes = braked(now);
        let head = place(0).run_at;
        for probe in 1..=8 {
            let mut shares = shares(&["a"]);
            brakes.narrow(&mut shares, now + seconds(100) * probe);
            let at = shares[0].cursor.run_at;
            assert_eq!(at > head, probe % 2 == 0, "{probe}: {at}");
            assert!(at <= head + TimeDelta::days(4), "{at}");
        }
    }

    #[test]
    fn one_that_decodes_releases_the_brake() {
        let now = Instant::now();
        let brakes = braked(now);
        assert!(!brakes.record_decoded("b", 1, now + seconds(3_600)));
        assert!(
            brakes.has_some(),
            "a brake that is closed is never forgotten"
        );
        assert!(brakes.record_decoded("a", 1, now));
        assert!(!brakes.has_some());
        assert_eq!(brakes.closed_until(&lane("a", 0, 0), now), None);
    }

    #[test]
    fn an_operator_has_a_probe_claimed_at_once() {
        let now = Instant::now();
        let brakes = braked(now);
        for second in [10, 20, 30, 40, 50] {
            narrowed(&brakes, &["a"], now + seconds(second));
        }
        let then = now + seconds(51);
        assert!(narrowed(&brakes, &["a"], then).is_empty());
        brakes.probe_now(then);
        assert_eq!(narrowed(&brakes, &["a"], then), [("a".to_owned(), 1)]);
        let next = brakes.closed_until(&lane("a", 0, 0), then);
        assert_eq!(next, Some(then + FIRST_PAUSE));
    }
}

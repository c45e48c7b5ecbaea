//! Which ticks are taken now: those that have just come, and of those that were missed what the schedule catches up.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::clocks::Calendar;
use super::rules::CatchUp;
use crate::attempt::tick::LATE_AFTER;

/// How many ticks one statement takes.
const BATCH: usize = 100;

/// How many missed ticks are caught up at the most.
const MOST: usize = 1_000;

/// How far missed ticks are counted.
const COUNTED: usize = 100_000;

/// What of the missed ticks is caught up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) catch_up: CatchUp,
    /// How long ago they may have been; `None` for any time.
    pub(crate) within: Option<Duration>,
}

/// What is to be taken at one go.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Owed {
    /// In order.
    pub(crate) ticks: Vec<DateTime<Utc>>,
    /// How many are left out because they were missed; so many at the least, where they are very many.
    pub(crate) missed: u64,
    /// Nothing up to here is owed afterwards.
    pub(crate) owed_after: DateTime<Utc>,
    /// The first tick that is owed afterwards.
    pub(crate) next: Option<DateTime<Utc>>,
}

impl Policy {
    pub(crate) fn of_words(catch_up: &str, within: Option<f64>) -> Self {
        Self {
            catch_up: CatchUp::of_word(catch_up),
            within: within.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        }
    }

    /// Decides about the ticks after `owed_after`, up to now.
    pub(crate) fn decide(
        self,
        calendar: &Calendar,
        owed_after: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Owed {
        let late = now - LATE_AFTER;
        let on_time: Vec<_> = between(calendar, owed_after.max(late), now).collect();
        let missed = between(calendar, owed_after, late).take(COUNTED).count();
        let mut ticks = match (missed, self.catch_up) {
            (0, _) | (_, CatchUp::None) => VecDeque::new(),
            // The one that has just come stands for those before it.
            (_, CatchUp::Once) if !on_time.is_empty() => VecDeque::new(),
            (_, CatchUp::Once) => latest(calendar, self.reach(owed_after, now), late, 1),
            (_, CatchUp::All) => latest(calendar, self.reach(owed_after, now), late, MOST),
        };
        let missed = missed.saturating_sub(ticks.len());
        ticks.extend(on_time);
        let is_all = ticks.len() <= BATCH;
        ticks.truncate(BATCH);
        let owed_after = match ticks.back() {
            Some(last) if !is_all => *last,
            // Whoever knows another calendar must not find a tick before that was none.
            _ => owed_after.max(now),
        };
        Owed {
            ticks: ticks.into(),
            missed: u64::try_from(missed).unwrap_or(u64::MAX),
            owed_after,
            next: calendar.next_after(owed_after),
        }
    }

    /// Returns after which time missed ticks are caught up.
    fn reach(self, owed_after: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
        let within = self.within.and_then(|it| TimeDelta::from_std(it).ok());
        let reach = within.and_then(|within| now.checked_sub_signed(within));
        reach.map_or(owed_after, |reach| reach.max(owed_after))
    }
}

/// Returns the ticks after one time, up to another.
fn between(
    calendar: &Calendar,
    after: DateTime<Utc>,
    until: DateTime<Utc>,
) -> impl Iterator<Item = DateTime<Utc>> {
    let next = move |after| calendar.next_after(after).filter(|tick| *tick <= until);
    std::iter::successors(next(after), move |last| next(*last))
}

/// Returns so many of the ticks after one time, up to another: the latest.
fn latest(
    calendar: &Calendar,
    after: DateTime<Utc>,
    until: DateTime<Utc>,
    most: usize,
) -> VecDeque<DateTime<Utc>> {
    // Not all that there are: there may have been one in each second for years.
    let mut span = TimeDelta::hours(1);
    loop {
        let from = until.checked_sub_signed(span).unwrap_or(after).max(after);
        let mut ticks = VecDeque::new();
        for tick in between(calendar, from, until) {
            if ticks.len() == most {
                ticks.pop_front();
            }
            ticks.push_back(tick);
        }
        if ticks.len() == most || from <= after {
            return ticks;
        }
        span = span * 2;
    }
}

/// Returns how many seconds after a tick its task starts: a share of `jitter` that depends on the schedule's name alone,
/// and less than until the next tick.
pub(crate) fn delay(
    name: &str,
    jitter: Duration,
    tick: DateTime<Utc>,
    next: Option<DateTime<Utc>>,
) -> f64 {
    let gap = next.and_then(|next| (next - tick).to_std().ok());
    let most = gap.map_or(jitter, |gap| gap.min(jitter));
    most.as_secs_f64() * share(name)
}

/// Returns a number from 0 to less than 1 that looks like chance, and is the same for ever: FNV-1a, and its bits stirred.
fn share(name: &str) -> f64 {
    let mut hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    let bits = u32::try_from(hash >> 32).unwrap_or_default();
    f64::from(bits) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;

    use super::*;

    fn at(day: u32, hour: u32, minute: u32) -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2026, 3, day, hour, minute, 0).unwrap()
    }

    fn decide(
        expression: &str,
        catch_up: CatchUp,
        within: Option<u64>,
        owed_after: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Owed {
        let calendar = Calendar::parse(expression, "UTC").expect("it can be read");
        let within = within.map(|hours| Duration::from_secs(hours * 3600));
        Policy { catch_up, within }.decide(&calendar, owed_after, now)
    }

    #[test]
    fn a_tick_that_has_just_come_is_taken_whatever_the_policy() {
        let now = at(2, 9, 0) + TimeDelta::milliseconds(300);
        for catch_up in [CatchUp::None, CatchUp::Once, CatchUp::All] {
            let owed = decide("0 9 * * *", catch_up, None, at(1, 9, 0), now);
            assert_eq!(owed.ticks, [at(2, 9, 0)]);
            assert_eq!((owed.missed, owed.owed_after), (0, now));
            assert_eq!(owed.next, Some(at(3, 9, 0)));
        }
    }

    #[test]
    fn of_missed_ticks_the_policy_says_which_are_caught_up() {
        let (since, now) = (at(1, 12, 0), at(4, 12, 0));
        let decide = |catch_up, within| decide("0 9 * * *", catch_up, within, since, now);
        let none = decide(CatchUp::None, None);
        assert_eq!((none.ticks, none.missed), (vec![], 3));
        let once = decide(CatchUp::Once, None);
        assert_eq!((once.ticks, once.missed), (vec![at(4, 9, 0)], 2));
        let once = decide(CatchUp::Once, Some(2));
        assert_eq!((once.ticks, once.missed), (vec![], 3));
        let all = decide(CatchUp::All, None);
        let days = [at(2, 9, 0), at(3, 9, 0), at(4, 9, 0)];
        assert_eq!((&*all.ticks, all.missed), (&days[..], 0));
        let all = decide(CatchUp::All, Some(30));
        assert_eq!((&*all.ticks, all.missed), (&days[1..], 1));
    }

    #[test]
    fn a_tick_that_has_just_come_stands_for_those_before_it() {
        let owed = decide("0 9 * * *", CatchUp::Once, None, at(1, 12, 0), at(4, 9, 0));
        assert_eq!((owed.ticks, owed.missed), (vec![at(4, 9, 0)], 2));
    }

    #[test]
    fn two_weeks_of_minutes_are_caught_up_in_order_and_in_batches_up_to_a_thousand() {
        let (mut owed_after, now) = (at(1, 0, 0), at(15, 0, 0));
        let (mut ticks, mut missed) = (Vec::new(), 0);
        while owed_after < now {
            let owed = decide("* * * * *", CatchUp::All, Some(24 * 30), owed_after, now);
            assert!(owed.ticks.len() <= BATCH);
            assert!(owed.owed_after > owed_after);
            ticks.extend(owed.ticks);
            missed += owed.missed;
            owed_after = owed.owed_after;
        }
        assert_eq!(missed + ticks.len() as u64, 14 * 24 * 60);
        // The last two are not late.
        assert_eq!(ticks.len(), MOST + 1);
        assert!(ticks.is_sorted());
        assert_eq!(ticks.last(), Some(&now));
    }

    #[test]
    fn years_of_seconds_are_decided_at_once() {
        let began = std::time::Instant::now();
        let now = at(1, 0, 0);
        let owed = decide(
            "* * * * * *",
            CatchUp::All,
            None,
            now - TimeDelta::days(3000),
            now,
        );
        assert_eq!(owed.ticks.len(), BATCH);
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{:?}",
            began.elapsed()
        );
    }

    #[test]
    fn a_thousand_schedules_spread_and_each_stays_in_its_place() {
        let jitter = Duration::from_secs(60);
        let delays: Vec<f64> = (0..1000)
            .map(|n| {
                delay(
                    &format!("report_{n}"),
                    jitter,
                    at(1, 0, 0),
                    Some(at(1, 1, 0)),
                )
            })
            .collect();
        for tenth in 0..10 {
            let from = f64::from(tenth) * 6.0;
            let count = delays
                .iter()
                .filter(|it| (from..from + 6.0).contains(*it))
                .count();
            assert!(
                (60..140).contains(&count),
                "{count} of 1000 in the tenth {tenth}"
            );
        }
        assert_eq!(
            delay("nightly", jitter, at(1, 0, 0), None),
            delay("nightly", jitter, at(2, 0, 0), None)
        );
        // Below the next tick.
        let next = at(1, 0, 0) + TimeDelta::seconds(5);
        assert!((0..1000).all(|n| delay(&n.to_string(), jitter, at(1, 0, 0), Some(next)) < 5.0));
    }
}

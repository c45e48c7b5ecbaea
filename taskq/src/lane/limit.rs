//! Limits: which lanes of a queue are claimed within bounds.
//!
//! Limits stand in a table, and the claim of a limited lane reads them. What a worker knows of them besides is which
//! queues and task types have any: their lanes are claimed by a statement of its own. A worker that does not know of a
//! limit yet claims without regard to it for a moment, and what it has claimed so is counted.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Scope;

/// How old what a worker knows may be before a scan, where it does not hear of changes.
const UNHEARD_FOR: Duration = Duration::from_millis(500);

/// How soon a claim is made again of a lane from which somebody else claims just now.
const BUSY_FOR: Duration = Duration::from_millis(5);

/// What a worker knows of limits.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    known: Mutex<Known>,
    /// Whether there are any.
    has_some: AtomicBool,
    /// Whether a listener reads them again as soon as they change.
    are_heard: AtomicBool,
    /// Whether tasks that wait for a slot may be beyond them.
    have_changed: AtomicBool,
    readings: AtomicU64,
    /// Since when Postgres has been reached each time that the duty wanted to.
    reached_since: Mutex<Option<Instant>>,
}

#[derive(Debug, Default)]
struct Known {
    /// Which reading it is from, by its number, and when that ended.
    reading: u64,
    read_at: Option<Instant>,
    scopes: HashSet<Scope>,
    /// The task types of which nothing is said but that their keys have fair turns.
    fair: HashSet<String>,
}

/// Which queues and task types are limited, as a reading found.
#[derive(Debug, Default)]
pub(crate) struct LimitedScopes {
    pub(crate) scopes: HashSet<Scope>,
    /// The task types of which nothing is said but that their keys have fair turns.
    pub(crate) fair: HashSet<String>,
}

/// What a claim of a limited lane tells besides its tasks.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct LimitedEnd {
    /// The last key that was looked at.
    pub(crate) last_key: Option<String>,
    /// Whether the lane has no further key.
    pub(crate) is_end: bool,
    /// Whether somebody else claims from it just now, or there is no slot for a task.
    pub(crate) is_busy: bool,
    /// How long until something of it may start by its rates.
    pub(crate) opens_in: Option<Duration>,
}

/// If tasks of more keys than this have ended, the next claim looks at all keys.
const MOST_FREED: usize = 100;

/// How a limited lane is claimed: behind which key to go on, and since when nothing of it may start.
#[derive(Debug, Default)]
pub(super) struct Turn {
    from_key: Option<String>,
    /// Whether each claim since the first key has brought all that there was.
    is_short: bool,
    /// When something may start of the keys since the first.
    next_opens: Option<Instant>,
    /// Nothing may start until something of it ends…
    is_full: bool,
    /// The keys of which something has ended since, if it is known. Nothing of another may start.
    freed: Option<Vec<String>>,
    /// … or until then.
    opens: Option<Instant>,
}

impl Limits {
    pub(crate) fn has_some(&self) -> bool {
        self.has_some.load(Ordering::Relaxed)
    }

    /// Tells whether they are to be read before a scan: now and then where no listener does it.
    pub(crate) fn must_be_read(&self, now: Instant) -> bool {
        let are_heard = self.are_heard.load(Ordering::Relaxed);
        let is_old = |at: Instant| now.saturating_duration_since(at) >= UNHEARD_FOR;
        !are_heard && self.lock().read_at.is_none_or(is_old)
    }

    pub(crate) fn record_heard(&self, are_heard: bool) {
        self.are_heard.store(are_heard, Ordering::Relaxed);
    }

    /// Returns the number of a reading that begins now.
    pub(crate) fn begin_reading(&self) -> u64 {
        self.readings.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Records which queues and task types a reading found that ended now, unless one that began later was faster.
    /// Returns whether that is new: nothing was claimed before the first reading.
    pub(crate) fn record(&self, reading: u64, found: LimitedScopes, now: Instant) -> bool {
        let mut known = self.lock();
        if reading <= known.reading {
            return false;
        }
        let LimitedScopes { scopes, fair } = found;
        let is_new = known.read_at.is_some() && known.scopes != scopes;
        *known = Known {
            reading,
            read_at: Some(now),
            scopes,
            fair,
        };
        let has_some = !known.scopes.is_empty() || !known.fair.is_empty();
        self.has_some.store(has_some, Ordering::Relaxed);
        is_new
    }

    /// Has tasks handed back that are limited and have not started: a limit may be lower now.
    pub(crate) fn record_changed(&self) {
        self.have_changed.store(true, Ordering::Relaxed);
    }

    /// Tells whether limits have changed since this was asked last.
    pub(crate) fn take_changed(&self) -> bool {
        self.have_changed.load(Ordering::Relaxed)
            && self.have_changed.swap(false, Ordering::Relaxed)
    }

    /// Tells whether the duty has reached Postgres for so long now, each time. It does so now.
    pub(crate) fn is_reached_for(&self, time: Duration, now: Instant) -> bool {
        let mut since = lock(&self.reached_since);
        now.saturating_duration_since(*since.get_or_insert(now)) >= time
    }

    /// Records that the duty has not reached it.
    pub(crate) fn record_failure(&self) {
        *lock(&self.reached_since) = None;
    }

    /// Tells whether tasks of this type in this queue are limited. The type's own name comes first of its names.
    pub(crate) fn bind(&self, queue: &str, task_type: &str) -> bool {
        self.has_some() && (self.lock().scopes.iter()).any(|scope| scope.includes(queue, task_type))
    }

    /// Tells whether the keys of this type have fair turns, where nothing limits them. The type's own name comes first
    /// of its names.
    pub(crate) fn are_fair(&self, task_type: &str) -> bool {
        self.has_some() && self.lock().fair.contains(task_type)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Turn {
    /// Returns behind which key a claim goes on.
    pub(super) fn passed_key(&self) -> Option<&str> {
        self.from_key.as_deref()
    }

    /// Records what a claim told, and whether it brought less than was asked for. Returns whether the lane is closed now.
    pub(super) fn record(&mut self, end: LimitedEnd, is_short: bool, now: Instant) -> bool {
        self.freed = None;
        let opens = end.opens_in.map(|opens_in| now + opens_in);
        if end.is_end && end.last_key.is_some() && end.last_key == self.from_key {
            // No key was looked at: the whole lane has no room just now. Its keys go on from there.
            self.is_full = !end.is_busy;
            self.opens = match end.is_busy {
                true => Some(now + BUSY_FOR),
                false => opens,
            };
            return true;
        }
        if self.from_key.is_none() {
            (self.is_short, self.next_opens) = (true, None);
        }
        self.is_short &= is_short && !end.is_busy;
        self.next_opens = self.next_opens.into_iter().chain(opens).min();
        self.from_key = match end.is_end {
            true => None,
            false => end.last_key,
        };
        self.is_full = self.is_short && end.is_end;
        self.opens = match (is_short, end.is_busy) {
            (true, true) => Some(now + BUSY_FOR),
            (true, false) if self.is_full => self.next_opens,
            _ => None,
        };
        self.is_full || self.opens.is_some()
    }

    /// Tells whether the lane is closed and opens now, because something has ended: of these keys, or of others too if
    /// there are none.
    pub(super) fn open_for(&mut self, freed: impl FnOnce() -> Vec<String>, now: Instant) -> bool {
        // It may be of a key that was passed already.
        self.is_short = false;
        if self.open_at(now) {
            return true;
        }
        if let Some(before) = &mut self.freed {
            // The claim that is to come is for more keys.
            let freed = freed();
            let more = freed.iter().filter(|key| !before.contains(key));
            let more: Vec<String> = more.cloned().collect();
            before.extend(more);
            if freed.is_empty() || before.len() > MOST_FREED {
                self.freed = None;
            }
            return false;
        }
        if self.is_full {
            let freed = freed();
            self.freed = (1..=MOST_FREED).contains(&freed.len()).then_some(freed);
        }
        std::mem::take(&mut self.is_full)
    }

    /// Tells whether the lane is closed and opens now, because it is time.
    pub(super) fn open_at(&mut self, now: Instant) -> bool {
        let opens = self.opens.is_some_and(|opens| opens <= now);
        if opens {
            (self.is_full, self.opens, self.freed) = (false, None, None);
        }
        opens
    }

    /// Has the next claim look at all keys, because a scan has found something.
    pub(super) fn begin_anew(&mut self) {
        (self.is_full, self.freed) = (false, None);
    }

    /// Returns the keys of which something has ended since the lane was full, where no other can have room.
    pub(super) fn freed(&self) -> Option<&[String]> {
        self.freed.as_deref()
    }

    /// Returns when the lane opens by itself.
    pub(super) fn opens(&self) -> Option<Instant> {
        self.opens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(last_key: Option<&str>, is_end: bool) -> LimitedEnd {
        LimitedEnd {
            last_key: last_key.map(str::to_owned),
            is_end,
            ..LimitedEnd::default()
        }
    }

    #[test]
    fn a_lane_is_full_when_a_pass_over_all_its_keys_brings_no_more() {
        let now = Instant::now();
        let mut turn = Turn::default();
        assert!(!turn.record(end(Some("500"), false), true, now));
        assert_eq!(turn.passed_key(), Some("500"));
        assert!(!turn.open_for(Vec::new, now), "it is not closed");
        assert!(
            !turn.record(end(Some("700"), true), true, now),
            "something of the first keys may have ended"
        );
        assert_eq!(turn.passed_key(), None);
        let later = LimitedEnd {
            opens_in: Some(Duration::from_secs(2)),
            ..end(Some("500"), false)
        };
        assert!(!turn.record(later, true, now));
        assert!(turn.record(end(Some("700"), true), true, now));
        assert_eq!(turn.opens(), Some(now + Duration::from_secs(2)));
        assert!(!turn.open_at(now));
        assert!(turn.open_for(Vec::new, now) && !turn.open_for(Vec::new, now));
    }

    #[test]
    fn a_lane_is_not_full_when_a_pass_brought_all_that_was_asked_for_once() {
        let now = Instant::now();
        let mut turn = Turn::default();
        assert!(!turn.record(end(Some("500"), false), false, now));
        assert!(!turn.record(end(Some("700"), true), true, now));
    }

    #[test]
    fn a_lane_from_which_others_claim_is_tried_again_soon() {
        let now = Instant::now();
        let mut turn = Turn::default();
        let busy = LimitedEnd {
            is_busy: true,
            ..end(None, true)
        };
        assert!(turn.record(busy, true, now));
        assert!(!turn.open_at(now) && turn.open_at(now + BUSY_FOR));
    }

    #[test]
    fn a_lane_without_room_goes_on_where_it_was() {
        let now = Instant::now();
        let mut turn = Turn::default();
        assert!(!turn.record(end(Some("500"), false), false, now));
        assert!(turn.record(end(Some("500"), true), true, now));
        assert_eq!(turn.passed_key(), Some("500"));
        assert!(turn.open_for(Vec::new, now));
        assert!(!turn.record(end(Some("700"), true), false, now));
        assert_eq!(turn.passed_key(), None, "from the first key on");
    }

    #[test]
    fn a_rate_opens_a_lane_by_itself() {
        let now = Instant::now();
        let mut turn = Turn::default();
        let later = LimitedEnd {
            opens_in: Some(Duration::from_secs(2)),
            ..end(None, true)
        };
        assert!(turn.record(later, true, now));
        assert_eq!(turn.opens(), Some(now + Duration::from_secs(2)));
        assert!(!turn.open_at(now) && turn.open_at(now + Duration::from_secs(2)));
    }

    #[test]
    fn a_full_lane_is_claimed_by_the_keys_that_have_ended() {
        let now = Instant::now();
        let keys = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let mut turn = Turn::default();
        assert!(!turn.open_for(|| keys(&["a"]), now));
        assert_eq!(turn.freed(), None, "it was not full");
        assert!(turn.record(end(None, true), true, now));
        assert!(turn.open_for(|| keys(&["a", "b"]), now));
        assert!(!turn.open_for(|| keys(&["b", "c"]), now), "it is open");
        let freed: Vec<String> = keys(&["a", "b", "c"]);
        assert_eq!(turn.freed(), Some(&freed[..]));
        assert!(!turn.open_for(Vec::new, now));
        assert_eq!(turn.freed(), None, "nobody knows of which it was");
        assert!(turn.record(end(None, true), true, now));
        assert!(turn.open_for(|| keys(&["a"]), now));
        assert!(turn.record(end(None, true), true, now), "it is full again");
        assert_eq!(turn.freed(), None);
    }

    #[test]
    fn what_a_scan_finds_is_not_missed_because_keys_have_ended() {
        let now = Instant::now();
        let one = || vec!["a".to_owned()];
        let mut turn = Turn::default();
        assert!(turn.record(end(None, true), true, now));
        turn.begin_anew();
        assert!(!turn.open_for(one, now), "the scan has opened it");
        assert_eq!(turn.freed(), None);
        assert!(turn.record(end(None, true), true, now));
        assert!(turn.open_for(one, now));
        turn.begin_anew();
        assert_eq!(turn.freed(), None);
    }
}

//! Pauses: queues and task types of which nothing starts, because an operator said so.
//!
//! A pause stands in a table, and every scan leaves out what is paused. What a worker knows of pauses besides is a
//! hint: it closes lanes that were scanned before, has tasks handed back that were claimed before, and tells when a
//! pause will be over.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

/// How old what a worker knows may be before a scan, where it does not hear of changes and knows of no pause. The scan
/// leaves out what is paused in any case.
const UNHEARD_FOR: Duration = Duration::from_millis(500);

/// What a pause is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "scope", content = "name", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Scope {
    /// All tasks of a queue.
    Queue(String),
    /// All tasks that have this in `task_type`, in all queues.
    TaskType(String),
    /// The ticks of a schedule. What it has enqueued before starts all the same.
    Schedule(String),
}

/// A queue or a task type is paused: none of its tasks starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Pause {
    /// What is paused.
    #[serde(flatten)]
    pub scope: Scope,
    /// Since when, without a gap.
    pub since: DateTime<Utc>,
    /// Who said so last.
    pub by: String,
    /// Why, as it was said last.
    pub reason: Option<String>,
    /// When the pause ends by itself; absent where it waits for somebody to resume.
    pub until: Option<DateTime<Utc>>,
}

impl Scope {
    /// Returns the word for what the name is of, as the table has it, and the name.
    pub(crate) fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Queue(name) => ("queue", name),
            Self::TaskType(name) => ("task_type", name),
            Self::Schedule(name) => ("schedule", name),
        }
    }

    /// Reads the word for what the name is of, as the tables have it.
    pub(crate) fn of(word: &str, name: String) -> Self {
        match word {
            "queue" => Self::Queue(name),
            "schedule" => Self::Schedule(name),
            _ => Self::TaskType(name),
        }
    }

    pub(super) fn includes(&self, queue: &str, task_type: &str) -> bool {
        match self {
            Self::Queue(name) => name == queue,
            Self::TaskType(name) => name == task_type,
            Self::Schedule(_) => false,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue(name) => write!(f, "queue {name}"),
            Self::TaskType(name) => write!(f, "task type {name}"),
            Self::Schedule(name) => write!(f, "schedule {name}"),
        }
    }
}

/// `queue mail paused since 2026-03-01T07:30:00Z by ada: SMTP is down`
impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
        let (since, by) = (seconds(self.since), &self.by);
        write!(f, "{} paused since {since} by {by}", self.scope)?;
        if let Some(until) = self.until {
            write!(f, " until {}", seconds(until))?;
        }
        match &self.reason {
            Some(reason) => write!(f, ": {reason}"),
            None => Ok(()),
        }
    }
}

/// A pause that holds, as it was read, and how long until it ends by itself.
#[derive(Debug)]
pub(crate) struct HeldPause {
    pub(crate) pause: Pause,
    pub(crate) ends_in: Option<Duration>,
}

/// Returns the pause, of those that hold, that keeps tasks of this type in this queue from starting.
pub(crate) fn pause_of<'a>(
    held: &'a [HeldPause],
    queue: &str,
    task_type: &str,
) -> Option<&'a Pause> {
    let mut held = held.iter().map(|it| &it.pause);
    held.find(|pause| pause.scope.includes(queue, task_type))
}

/// What a worker knows of pauses.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    known: Mutex<Known>,
    /// Whether there are any: as good as never.
    has_some: AtomicBool,
    /// Whether a listener reads them again as soon as they change.
    are_heard: AtomicBool,
    /// Whether there may be tasks to be handed back.
    have_begun: AtomicBool,
    readings: AtomicU64,
}

#[derive(Debug, Default)]
struct Known {
    /// Which reading it is from, by its number, and when that ended.
    reading: u64,
    read_at: Option<Instant>,
    pauses: Vec<KnownPause>,
}

#[derive(Debug)]
struct KnownPause {
    pause: Pause,
    ends: Option<Instant>,
}

/// What a reading has changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Pauses that were not known, or were others before.
    pub(crate) begun: Vec<Pause>,
    pub(crate) ended: Vec<Scope>,
}

impl Pauses {
    pub(crate) fn has_some(&self) -> bool {
        self.has_some.load(Ordering::Relaxed)
    }

    /// Tells whether they are to be read before a scan: where there are some, so that the end of a pause is never
    /// missed, and now and then where no listener does it.
    pub(crate) fn must_be_read(&self, now: Instant) -> bool {
        self.has_some() || self.are_unheard(now)
    }

    /// Tells whether no listener hears of them, and the last reading is a while ago.
    pub(crate) fn are_unheard(&self, now: Instant) -> bool {
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

    /// Records what a reading found that ended now, unless one that began later was faster.
    pub(crate) fn record(&self, reading: u64, held: Vec<HeldPause>, now: Instant) -> Changes {
        let mut known = self.lock();
        if reading <= known.reading {
            return Changes::default();
        }
        let pauses: Vec<_> = held
            .into_iter()
            // Scans have nothing to do with those of schedules.
            .filter(|held| !matches!(held.pause.scope, Scope::Schedule(_)))
            .map(|HeldPause { pause, ends_in }| KnownPause {
                pause,
                // One that ends so late does not end.
                ends: ends_in.and_then(|ends_in| now.checked_add(ends_in)),
            })
            .collect();
        let read = Known {
            reading,
            read_at: Some(now),
            pauses,
        };
        let before = std::mem::replace(&mut *known, read).pauses;
        let is_in =
            |pauses: &[KnownPause], scope: &Scope| pauses.iter().any(|it| it.pause.scope == *scope);
        let begun = known.pauses.iter().map(|it| &it.pause);
        let begun = begun.filter(|pause| before.iter().all(|it| it.pause != **pause));
        let ended = before.iter().map(|it| &it.pause.scope);
        let ended = ended.filter(|scope| !is_in(&known.pauses, scope));
        let changes = Changes {
            begun: begun.cloned().collect(),
            ended: ended.cloned().collect(),
        };
        self.has_some
            .store(!known.pauses.is_empty(), Ordering::Relaxed);
        if !changes.begun.is_empty() {
            self.have_begun.store(true, Ordering::Relaxed);
        }
        changes
    }

    /// Tells whether pauses have begun since this was asked last.
    pub(crate) fn take_begun(&self) -> bool {
        self.have_begun.load(Ordering::Relaxed) && self.have_begun.swap(false, Ordering::Relaxed)
    }

    /// Tells whether nothing of this type in this queue may start.
    pub(crate) fn hold(&self, queue: &str, task_type: &str, now: Instant) -> bool {
        self.has_some()
            && (self.lock().pauses.iter())
                .any(|it| it.holds(now) && it.pause.scope.includes(queue, task_type))
    }

    /// Returns when the next of them ends by itself.
    pub(crate) fn next_end(&self, now: Instant) -> Option<Instant> {
        let known = self.lock();
        let ends = known.pauses.iter().filter_map(|it| it.ends);
        ends.filter(|ends| *ends > now).min()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.begun.is_empty() && self.ended.is_empty()
    }
}

impl KnownPause {
    fn holds(&self, now: Instant) -> bool {
        self.ends.is_none_or(|ends| now < ends)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(name: &str) -> Scope {
        Scope::Queue(name.to_owned())
    }

    fn held(scope: Scope, ends_in: Option<u64>) -> HeldPause {
        HeldPause {
            pause: Pause {
                scope,
                since: DateTime::UNIX_EPOCH,
                by: "ada".to_owned(),
                reason: None,
                until: None,
            },
            ends_in: ends_in.map(Duration::from_secs),
        }
    }

    #[test]
    fn a_pause_is_of_a_queue_or_of_a_type_in_all_queues() {
        let (pauses, now) = (Pauses::default(), Instant::now());
        let task_type = Scope::TaskType("send".to_owned());
        let reading = pauses.begin_reading();
        pauses.record(
            reading,
            vec![held(queue("mail"), None), held(task_type, None)],
            now,
        );
        for (queue, task_type, holds) in [
            ("mail", "purge", true),
            ("other", "send", true),
            ("other", "mail", false),
            ("send", "purge", false),
        ] {
            assert_eq!(pauses.hold(queue, task_type, now), holds, "{queue}");
        }
    }

    #[test]
    fn a_pause_ends_by_itself() {
        let (pauses, now) = (Pauses::default(), Instant::now());
        let rows = vec![
            held(queue("a"), Some(9)),
            held(queue("b"), Some(5)),
            held(queue("c"), None),
            held(queue("d"), Some(u64::MAX)),
        ];
        pauses.record(pauses.begin_reading(), rows, now);
        let after = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(pauses.next_end(now), Some(after(5)));
        assert_eq!(pauses.next_end(after(5)), Some(after(9)));
        assert_eq!(pauses.next_end(after(9)), None);
        assert!(pauses.hold("b", "t", after(4)) && !pauses.hold("b", "t", after(5)));
        assert!(pauses.hold("c", "t", after(99)) && pauses.hold("d", "t", after(99)));
        assert!(
            pauses.must_be_read(after(99)),
            "the clock of Postgres decides, so it is asked"
        );
    }

    #[test]
    fn changes_are_told_once() {
        let (pauses, now) = (Pauses::default(), Instant::now());
        let read = |rows| pauses.record(pauses.begin_reading(), rows, now);
        let a = || held(queue("a"), None);
        assert_eq!(read(vec![a()]).begun, [a().pause]);
        assert!(pauses.take_begun() && !pauses.take_begun());
        assert!(read(vec![a()]).is_empty() && !pauses.take_begun());
        let mut changed = a();
        changed.pause.by = "bob".to_owned();
        let changes = read(vec![changed]);
        assert_eq!((changes.begun.len(), changes.ended.len()), (1, 0));
        assert_eq!(read(vec![]).ended, [queue("a")]);
        assert!(read(vec![]).is_empty() && !pauses.has_some());
    }

    #[test]
    fn a_reading_that_began_earlier_undoes_no_later_one() {
        let (pauses, now) = (Pauses::default(), Instant::now());
        let (first, second) = (pauses.begin_reading(), pauses.begin_reading());
        pauses.record(second, vec![held(queue("a"), None)], now);
        assert!(pauses.record(first, vec![], now).is_empty());
        assert!(pauses.hold("a", "t", now));
    }

    #[test]
    fn they_are_read_before_scans_where_nobody_listens() {
        let (pauses, now) = (Pauses::default(), Instant::now());
        assert!(pauses.must_be_read(now));
        pauses.record(pauses.begin_reading(), vec![], now);
        let later = now + UNHEARD_FOR;
        assert!(!pauses.must_be_read(now) && pauses.must_be_read(later));
        pauses.record_heard(true);
        assert!(!pauses.must_be_read(later));
        pauses.record(pauses.begin_reading(), vec![held(queue("a"), None)], later);
        assert!(pauses.must_be_read(later));
    }
}

//! What a worker measures of itself, and what one worker for all knows of the tables.
//!
//! The tables are asked by one worker at a time, the one that has exposed metrics for longest: its heartbeats tell it so.
//! It asks once in an interval. The others expose nothing of the tables. If that worker vanishes, another one follows when
//! its registration has expired.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::names::OTHER;
use crate::store::{GaugesRow, PrunedRow};

/// How often the tables are asked.
pub(crate) const INTERVAL: Duration = Duration::from_secs(15);

/// How old an answer of the tables may be that is exposed.
const LONGEST_AGE: Duration = Duration::from_secs(60);

/// How far tasks of a kind are counted.
pub(crate) const MOST: i64 = 10_000;

/// What a worker measures.
#[derive(Debug)]
pub(crate) struct Meters {
    /// Whether somebody exposes it.
    watches: AtomicBool,
    /// Whether this worker asks the tables.
    leads: AtomicBool,
    pub(crate) leases_lost: AtomicU64,
    /// In the order of the settings.
    queues: Vec<QueueMeters>,
    tables: Mutex<Tables>,
    has_begun_to_lead: Notify,
}

#[derive(Debug, Default)]
pub(crate) struct QueueMeters {
    pub(crate) claims: AtomicU64,
    pub(crate) claimed_tasks: AtomicU64,
}

#[derive(Debug, Default)]
struct Tables {
    /// All kinds that were there once: they do not vanish, but become zero.
    known: BTreeSet<(String, String)>,
    /// All task types that were pruned while a living worker knew them: they do not become others, or that would be a counter
    /// that falls.
    known_types: BTreeSet<String>,
    last: Option<Snapshot>,
}

/// What the tables answered.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    read: Instant,
    pub(crate) kinds: BTreeMap<(String, String), KindGauges>,
    pub(crate) workers: i64,
    /// In seconds.
    pub(crate) schedule_late: f64,
    /// How many were pruned, by task type and outcome.
    pub(crate) pruned: BTreeMap<(String, String), i64>,
}

/// How much there is of a kind.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct KindGauges {
    pub(crate) due: i64,
    pub(crate) scheduled: i64,
    pub(crate) running: i64,
    pub(crate) dead: i64,
    /// In seconds.
    pub(crate) oldest_due_age: Option<f64>,
}

impl Meters {
    /// For so many queues. The kinds are those that this worker declares.
    pub(crate) fn new(queues: usize, declared: impl Iterator<Item = (String, String)>) -> Self {
        Self {
            watches: AtomicBool::new(false),
            leads: AtomicBool::new(false),
            leases_lost: AtomicU64::new(0),
            queues: (0..queues).map(|_| QueueMeters::default()).collect(),
            tables: Mutex::new(Tables {
                known: declared.collect(),
                known_types: BTreeSet::new(),
                last: None,
            }),
            has_begun_to_lead: Notify::new(),
        }
    }

    /// Records that somebody exposes them.
    pub(crate) fn watch(&self) {
        self.watches.store(true, Ordering::Relaxed);
    }

    pub(crate) fn are_watched(&self) -> bool {
        self.watches.load(Ordering::Relaxed)
    }

    /// Records whether this worker is to ask the tables.
    pub(crate) fn record_leads(&self, leads: bool) {
        if !self.leads.swap(leads, Ordering::Relaxed) && leads {
            self.has_begun_to_lead.notify_one();
        }
    }

    pub(crate) fn lead(&self) -> bool {
        self.leads.load(Ordering::Relaxed)
    }

    /// Waits until this worker is the one to ask the tables.
    pub(crate) async fn begins_to_lead(&self) {
        self.has_begun_to_lead.notified().await;
    }

    pub(crate) fn record_claimed(&self, queue: usize, tasks: usize) {
        let meters = &self.queues[queue];
        meters.claims.fetch_add(1, Ordering::Relaxed);
        meters
            .claimed_tasks
            .fetch_add(tasks as u64, Ordering::Relaxed);
    }

    pub(crate) fn record_lost(&self, leases: usize) {
        self.leases_lost.fetch_add(leases as u64, Ordering::Relaxed);
    }

    pub(crate) fn of_queue(&self, queue: usize) -> &QueueMeters {
        &self.queues[queue]
    }

    /// Records what the tables answered.
    pub(crate) fn record_tables(&self, rows: Vec<GaugesRow>, pruned: Vec<PrunedRow>, now: Instant) {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let pruned = tables.by_known_types(pruned);
        let known = tables.known.iter().cloned();
        let mut snapshot = Snapshot {
            read: now,
            kinds: known.map(|kind| (kind, KindGauges::default())).collect(),
            workers: rows.first().map_or(0, |row| row.workers),
            schedule_late: rows
                .first()
                .and_then(|row| row.schedule_late)
                .unwrap_or(0.0),
            pruned,
        };
        for kind in rows.into_iter().filter_map(|row| row.kind) {
            let name = |is_known, name: String| if is_known { name } else { OTHER.to_owned() };
            let queue = name(kind.queue_is_known, kind.queue);
            let task_type = name(kind.type_is_known, kind.task_type);
            let sum = snapshot.kinds.entry((queue, task_type)).or_default();
            sum.due += kind.due;
            sum.scheduled += kind.scheduled;
            sum.running += kind.running;
            sum.dead += kind.dead;
            sum.oldest_due_age = match (sum.oldest_due_age, kind.oldest_due_age) {
                (Some(one), Some(other)) => Some(one.max(other)),
                (one, other) => one.or(other),
            };
        }
        tables.known = snapshot.kinds.keys().cloned().collect();
        tables.last = Some(snapshot);
    }

    /// Returns what the tables answered last, if this worker is the one that asks them and that is not long ago.
    pub(crate) fn tables(&self, now: Instant) -> Option<Snapshot> {
        if !self.lead() {
            return None;
        }
        let tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let last = tables.last.as_ref()?;
        let age = now.saturating_duration_since(last.read);
        if age > LONGEST_AGE {
            return None;
        }
        let mut last = last.clone();
        for kind in last.kinds.values_mut() {
            kind.oldest_due_age = kind.oldest_due_age.map(|then| then + age.as_secs_f64());
        }
        if last.schedule_late > 0.0 {
            last.schedule_late += age.as_secs_f64();
        }
        Some(last)
    }
}

impl Tables {
    fn by_known_types(&mut self, rows: Vec<PrunedRow>) -> BTreeMap<(String, String), i64> {
        let mut pruned = BTreeMap::new();
        for row in rows {
            if row.type_is_known {
                self.known_types.insert(row.task_type.clone());
            }
            let task_type = match self.known_types.contains(&row.task_type) {
                true => row.task_type,
                false => OTHER.to_owned(),
            };
            *pruned.entry((task_type, row.outcome)).or_default() += row.total;
        }
        pruned
    }
}

impl KindGauges {
    /// Returns each number with the word for where those tasks are.
    pub(crate) fn states(&self) -> [(&'static str, i64); 4] {
        [
            ("due", self.due),
            ("scheduled", self.scheduled),
            ("running", self.running),
            ("dead", self.dead),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::GaugesKind;

    fn row(queue: &str, task_type: &str, due: i64, is_known: bool) -> GaugesRow {
        GaugesRow {
            kind: Some(GaugesKind {
                queue: queue.to_owned(),
                task_type: task_type.to_owned(),
                due,
                scheduled: 0,
                running: 0,
                dead: 0,
                oldest_due_age: Some(5.0),
                queue_is_known: true,
                type_is_known: is_known,
            }),
            workers: 2,
            schedule_late: None,
        }
    }

    fn numbers(meters: &Meters, now: Instant) -> Vec<(String, i64)> {
        let snapshot = meters.tables(now).expect("it leads");
        let kinds = snapshot.kinds.into_iter();
        kinds
            .map(|((queue, of), it)| (format!("{queue} {of}"), it.due))
            .collect()
    }

    #[test]
    fn kinds_that_nobody_declares_are_one_and_those_that_vanish_become_zero() {
        let declared = [("mail".to_owned(), "send".to_owned())];
        let meters = Meters::new(1, declared.into_iter());
        let now = Instant::now();
        let rows = vec![
            row("mail", "x1", 3, false),
            row("mail", "x2", 4, false),
            row("mail", "bill", 1, true),
        ];
        meters.record_tables(rows, Vec::new(), now);
        assert!(meters.tables(now).is_none(), "another worker asks");
        meters.record_leads(true);
        let expected = [("mail _other", 7), ("mail bill", 1), ("mail send", 0)];
        assert_eq!(
            numbers(&meters, now),
            expected.map(|(kind, due)| (kind.to_owned(), due))
        );
        meters.record_tables(vec![row("mail", "send", 2, true)], Vec::new(), now);
        let expected = [("mail _other", 0), ("mail bill", 0), ("mail send", 2)];
        assert_eq!(
            numbers(&meters, now),
            expected.map(|(kind, due)| (kind.to_owned(), due))
        );
        let later = now + Duration::from_secs(30);
        let snapshot = meters.tables(later).expect("it leads");
        let send = snapshot.kinds[&("mail".to_owned(), "send".to_owned())];
        assert_eq!(send.oldest_due_age, Some(35.0), "it grows");
        assert!(
            meters.tables(now + Duration::from_secs(61)).is_none(),
            "it is old"
        );
    }

    #[test]
    fn what_was_pruned_of_a_known_type_stays_with_it() {
        let row = |task_type: &str, total, type_is_known| PrunedRow {
            task_type: task_type.to_owned(),
            outcome: "discarded".to_owned(),
            total,
            type_is_known,
        };
        let mut tables = Tables::default();
        let of = |task_type: &str| (task_type.to_owned(), "discarded".to_owned());
        let first = vec![
            row("send", 3, true),
            row("x1", 4, false),
            row("x2", 5, false),
        ];
        let first = tables.by_known_types(first);
        assert_eq!(first, BTreeMap::from([(of("send"), 3), (of(OTHER), 9)]));
        let later = tables.by_known_types(vec![row("send", 4, false), row("x1", 4, false)]);
        assert_eq!(later, BTreeMap::from([(of("send"), 4), (of(OTHER), 4)]));
    }
}

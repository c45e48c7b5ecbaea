//! How far attempts say that they are, until their worker writes it.
//!
//! An attempt that says nothing pays nothing but a shared pointer. What it says replaces what it said before, so that a worker
//! holds one line for each of its tasks, whatever the database does.

use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use foldhash::HashMap;
use serde_json::value::RawValue;
use tokio::sync::Notify;

use crate::error::Secrets;

/// How many bytes a text has.
const MOST_OF_TEXT: usize = 400;

/// How many tasks may wait to be written. More are only those of a worker that cannot write for long.
const MOST_WAITING: usize = 10_000;

/// What an attempt said last.
#[derive(Debug, Clone)]
pub(crate) struct ProgressRow {
    pub(crate) task_id: i64,
    pub(crate) attempt: u16,
    pub(crate) fraction: Option<f64>,
    pub(crate) said: String,
    pub(crate) at: Instant,
}

/// What the attempts of a worker said that is not written yet.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    table: Mutex<Table>,
    some: Notify,
    /// Behind which task the duty looks next for what nobody needs any more.
    pruned_to: AtomicI64,
}

#[derive(Debug, Default)]
struct Table {
    said: HashMap<i64, ProgressRow>,
    /// What was written, or is being written, of tasks whose attempts go on.
    written: HashMap<i64, String>,
    /// Those that are done and not kept: what was written goes.
    done: Vec<i64>,
}

/// What is written at once.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) said: Vec<ProgressRow>,
    pub(crate) done: Vec<i64>,
}

impl Notes {
    fn record(&self, row: ProgressRow) {
        let mut table = self.lock();
        let length = table.said.len();
        match table.said.entry(row.task_id) {
            Entry::Occupied(mut earlier) => drop(earlier.insert(row)),
            Entry::Vacant(place) if length < MOST_WAITING => {
                place.insert(row);
            }
            Entry::Vacant(_) => {}
        }
        drop(table);
        if length == 0 {
            self.some.notify_one();
        }
    }

    /// Records that an attempt has ended that said something, and whether nothing is left of its task.
    pub(crate) fn record_ended(&self, task_id: i64, is_gone: bool) {
        let mut table = self.lock();
        let is_written = table.written.remove(&task_id).is_some();
        if is_gone {
            table.said.remove(&task_id);
        }
        if is_gone && is_written {
            table.done.push(task_id);
            drop(table);
            self.some.notify_one();
        }
    }

    /// Returns what a running attempt said last, if it said something.
    pub(crate) fn last_said(&self, task_id: i64) -> Option<String> {
        let table = self.lock();
        let waiting = table.said.get(&task_id).map(|row| &row.said);
        waiting.or_else(|| table.written.get(&task_id)).cloned()
    }

    /// Waits until there is something to write.
    pub(crate) async fn wait(&self) {
        self.some.notified().await;
    }

    /// Takes what is to be written; nothing where there is nothing.
    pub(crate) fn take(&self) -> Option<Batch> {
        let table = &mut *self.lock();
        let said: Vec<_> = table.said.drain().map(|(_, row)| row).collect();
        let written = said.iter().map(|row| (row.task_id, row.said.clone()));
        table.written.extend(written);
        let done = std::mem::take(&mut table.done);
        let batch = Batch { said, done };
        (!batch.is_empty()).then_some(batch)
    }

    /// Takes back what could not be written, but for what was said anew.
    pub(crate) fn put_back(&self, batch: Batch) {
        let table = &mut *self.lock();
        for row in batch.said {
            // That of a task that is gone meanwhile is not written any more.
            if table.said.len() < MOST_WAITING && !table.done.contains(&row.task_id) {
                table.said.entry(row.task_id).or_insert(row);
            }
        }
        let room = MOST_WAITING.saturating_sub(table.done.len());
        table.done.extend(batch.done.into_iter().take(room));
        self.some.notify_one();
    }

    pub(crate) fn pruned_to(&self) -> i64 {
        self.pruned_to.load(Ordering::Relaxed)
    }

    pub(crate) fn record_pruned(&self, to: i64) {
        self.pruned_to.store(to, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.said.is_empty() && self.done.is_empty()
    }
}

/// The way from one attempt to the notes of its worker. Nowhere for an attempt without a worker.
#[derive(Debug, Default)]
pub(crate) struct Says {
    notes: Option<Arc<Notes>>,
    /// Of a type with secret fields: what it says is searched for their values.
    secret: Option<(&'static [&'static str], Box<RawValue>)>,
    has_said: AtomicBool,
    is_over: AtomicBool,
}

impl Says {
    pub(crate) fn to(
        notes: &Arc<Notes>,
        fields: &'static [&'static str],
        payload: &RawValue,
    ) -> Self {
        Self {
            notes: Some(notes.clone()),
            secret: (!fields.is_empty()).then(|| (fields, payload.to_owned())),
            ..Self::default()
        }
    }

    pub(crate) fn say(&self, task_id: i64, attempt: u16, fraction: f64, said: String) {
        let Some(notes) = &self.notes else {
            return;
        };
        if self.is_over.load(Ordering::Relaxed) {
            return;
        }
        let said = match &self.secret {
            Some((fields, payload)) => Secrets::of(fields, Some(payload)).hide(said),
            None => said,
        };
        self.has_said.store(true, Ordering::Relaxed);
        notes.record(ProgressRow {
            task_id,
            attempt,
            fraction: (!fraction.is_nan()).then(|| fraction.clamp(0.0, 1.0)),
            said: storable(said),
            at: Instant::now(),
        });
    }

    pub(crate) fn has_said(&self) -> bool {
        self.has_said.load(Ordering::Relaxed)
    }

    /// Has work that outlives the attempt say nothing more.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// Text in Postgres holds no zero byte.
fn storable(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MOST_OF_TEXT));
    if text.contains('\0') {
        text = text.replace('\0', "\u{fffd}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(task_id: i64, said: &str) -> ProgressRow {
        ProgressRow {
            task_id,
            attempt: 1,
            fraction: None,
            said: said.to_owned(),
            at: Instant::now(),
        }
    }

    fn texts(batch: &Batch) -> Vec<&str> {
        batch.said.iter().map(|row| row.said.as_str()).collect()
    }

    #[test]
    fn of_what_a_task_says_the_last_is_written() {
        let notes = Notes::default();
        notes.record(row(1, "one"));
        notes.record(row(1, "two"));
        assert_eq!(texts(&notes.take().expect("something")), ["two"]);
        assert!(notes.take().is_none());
    }

    #[test]
    fn what_was_written_goes_with_its_task_and_what_was_not_is_not_written() {
        let notes = Notes::default();
        notes.record(row(1, "one"));
        notes.record(row(2, "kept"));
        drop(notes.take());
        notes.record(row(3, "short"));
        for (task_id, is_gone) in [(1, true), (2, false), (3, true)] {
            notes.record_ended(task_id, is_gone);
        }
        let batch = notes.take().expect("something");
        assert!(batch.said.is_empty());
        assert_eq!(batch.done, [1]);
    }

    #[test]
    fn what_could_not_be_written_waits_unless_there_is_something_newer() {
        let notes = Notes::default();
        for task_id in [1, 2, 3] {
            notes.record(row(task_id, "old"));
        }
        let batch = notes.take().expect("something");
        notes.record(row(2, "new"));
        notes.record_ended(3, true);
        notes.put_back(batch);
        let batch = notes.take().expect("something");
        let mut texts = texts(&batch);
        texts.sort_unstable();
        assert_eq!(texts, ["new", "old"]);
        assert_eq!(batch.done, [3]);
    }

    #[test]
    fn a_worker_that_cannot_write_holds_a_bounded_number_of_lines() {
        let notes = Notes::default();
        for task_id in 0..20_000 {
            notes.record(row(task_id, "on"));
        }
        assert_eq!(notes.take().expect("something").said.len(), MOST_WAITING);
    }
}

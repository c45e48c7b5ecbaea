//! The lines of one run: one call of a handler, for one task or for many.

use std::collections::VecDeque;
use std::mem::take;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use uuid::Uuid;

use super::line::Line;
use super::waiting::Waiting;
use crate::error::Secrets;

/// How long a run waits at least from one write to the next, and at most where each time it has logged more than is kept.
const PAUSE: Duration = Duration::from_millis(900);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How much is kept of one run, and of one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caps {
    pub(crate) lines: usize,
    pub(crate) bytes: usize,
    pub(crate) line: usize,
}

/// What the runs of a worker have logged and is not written yet.
pub(crate) type Lines = Waiting<Run>;

/// A task of which a run is an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RunOf {
    pub(crate) task_id: i64,
    pub(crate) attempt: u16,
    /// Whether there may be lines of earlier runs.
    pub(crate) is_again: bool,
}

/// One call of a handler, and what it logs.
#[derive(Debug)]
pub(crate) struct Run {
    lines: Arc<Lines>,
    secret: OnceLock<Secret>,
    is_over: AtomicBool,
    held: Mutex<Held>,
}

/// What is to be taken out of lines: the values of these fields. They are read when the first line comes.
struct Secret {
    fields: &'static [&'static str],
    payloads: Vec<Box<RawValue>>,
    read: OnceLock<Vec<Secrets>>,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

#[derive(Debug)]
struct Held {
    of: Vec<RunOf>,
    /// Of how many tasks it was at first.
    tasks: usize,
    /// Those that complete and are not kept.
    gone: Vec<RunOf>,
    /// Whether the writer knows that it has something.
    is_waiting: bool,
    is_over: bool,
    log_id: Option<Uuid>,
    /// When the first line was logged that was written.
    first: Option<Instant>,
    /// Whether its tasks are written, or are being written.
    is_told: bool,
    caps: Option<Caps>,
    waiting: VecDeque<Line>,
    bytes: usize,
    /// How many were logged.
    said: i64,
    /// What was written, or is being written, and is not replaced yet.
    written: VecDeque<Written>,
    next: i32,
    /// Whether more came than is kept since the last write.
    is_full: bool,
    pause: Duration,
    not_before: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Written {
    lines: usize,
    bytes: usize,
}

impl Run {
    pub(crate) fn new(lines: Arc<Lines>, of: Vec<RunOf>) -> Self {
        Self {
            lines,
            secret: OnceLock::new(),
            is_over: AtomicBool::new(false),
            held: Mutex::new(Held {
                tasks: of.len(),
                of,
                gone: Vec::new(),
                is_waiting: false,
                is_over: false,
                log_id: None,
                first: None,
                is_told: false,
                caps: None,
                waiting: VecDeque::new(),
                bytes: 0,
                said: 0,
                written: VecDeque::new(),
                next: 0,
                is_full: false,
                pause: PAUSE,
                not_before: None,
            }),
        }
    }

    /// Has the values of these fields be taken out of what it logs from here on.
    pub(crate) fn hide(&self, fields: &'static [&'static str], payloads: Vec<Box<RawValue>>) {
        let _ = self.secret.set(Secret {
            fields,
            payloads,
            read: OnceLock::new(),
        });
    }

    pub(crate) fn secrets(&self) -> &[Secrets] {
        self.secret.get().map_or(&[], |secret| {
            secret.read.get_or_init(|| {
                let payloads = secret.payloads.iter();
                payloads
                    .map(|payload| Secrets::of(secret.fields, Some(payload)))
                    .collect()
            })
        })
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Records a line. The oldest that are not written make room for it.
    pub(crate) fn record(self: &Arc<Self>, line: Line, caps: Caps) {
        let held = &mut *self.lock();
        if held.is_over {
            return;
        }
        held.caps = Some(caps);
        held.said += 1;
        held.bytes += line.size();
        self.lines.add_bytes(line.size());
        held.waiting.push_back(line);
        let mut is_crowded = self.lines.is_crowded();
        while held.waiting.len() > 1
            && (held.waiting.len() > caps.lines || held.bytes > caps.bytes || take(&mut is_crowded))
        {
            held.is_full = true;
            let oldest = held.waiting.pop_front();
            let size = oldest.map_or(0, |oldest| oldest.size());
            held.bytes -= size;
            self.lines.take_bytes(size);
        }
        if !held.is_waiting {
            held.is_waiting = true;
            self.lines.record_waiting(self.clone());
        }
    }

    /// Records that a task has completed of which nothing is left.
    pub(crate) fn record_gone(&self, task_id: i64) {
        let held = &mut *self.lock();
        let gone = held.of.iter().position(|of| of.task_id == task_id);
        if let Some(at) = gone {
            let gone = held.of.swap_remove(at);
            held.gone.push(gone);
        }
    }

    /// Ends the run: what is logged in its span from here on is nobody's.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
        let held = &mut *self.lock();
        held.is_over = true;
        if held.of.is_empty() {
            self.lines.take_bytes(take(&mut held.bytes));
            held.waiting.clear();
        }
        let is_written = held.log_id.is_some();
        let done = held.gone.iter().filter(|of| is_written || of.is_again);
        self.lines.record_done(done.map(|of| of.task_id));
    }

    /// Takes what is to be written. `None` where there is nothing; an error where it is too early.
    pub(super) fn take(self: &Arc<Self>, now: Instant) -> Result<Option<Chunk>, TooEarly> {
        let held = &mut *self.lock();
        if !held.is_over && held.not_before.is_some_and(|not_before| now < not_before) {
            return Err(TooEarly);
        }
        held.is_waiting = false;
        let (Some(caps), false) = (held.caps, held.waiting.is_empty()) else {
            return Ok(None);
        };
        if held.of.is_empty() {
            // All of it goes with the run's end.
            self.lines.take_bytes(take(&mut held.bytes));
            held.waiting.clear();
            return Ok(None);
        }
        held.pause = match held.is_full {
            true => (held.pause * 2).min(LONGEST_PAUSE),
            false => PAUSE,
        };
        if held.is_full {
            // What is kept has no gap.
            held.written.clear();
        }
        held.is_full = false;
        held.not_before = Some(now + held.pause);
        let of = match held.is_told {
            true => Vec::new(),
            false => held.of.clone(),
        };
        held.is_told = true;
        let log_id = *held.log_id.get_or_insert_with(Uuid::new_v4);
        let lines: Vec<_> = held.waiting.drain(..).collect();
        let first = *held
            .first
            .get_or_insert(lines.first().map_or(now, |line| line.at));
        let bytes = take(&mut held.bytes);
        self.lines.take_bytes(bytes);
        held.written.push_back(Written {
            lines: lines.len(),
            bytes,
        });
        let number = held.next;
        held.next += 1;
        held.forget_older(caps);
        Ok(Some(Chunk {
            run: self.clone(),
            log_id,
            of,
            tasks: held.tasks,
            most_lines: caps.lines,
            number,
            stays: held.next - i32::try_from(held.written.len()).unwrap_or(0),
            said: held.said,
            first,
            lines,
            bytes,
        }))
    }

    /// Takes back what could not be written. Returns whether there was something to keep.
    pub(super) fn put_back(self: &Arc<Self>, chunk: Chunk) {
        let held = &mut *self.lock();
        if held.is_over && held.of.is_empty() {
            return;
        }
        let caps = held.caps.unwrap_or(Caps {
            lines: 1,
            bytes: 1,
            line: 1,
        });
        held.written.pop_back();
        held.next = chunk.number;
        held.is_told &= chunk.of.is_empty();
        for line in chunk.lines.into_iter().rev() {
            let has_room =
                held.waiting.len() < caps.lines && held.bytes + line.size() <= caps.bytes;
            if !has_room || self.lines.is_crowded() {
                held.is_full = true;
                break;
            }
            held.bytes += line.size();
            self.lines.add_bytes(line.size());
            held.waiting.push_front(line);
        }
        if !held.is_waiting && !held.waiting.is_empty() {
            held.is_waiting = true;
            self.lines.record_waiting(self.clone());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lines of one run that are written at once.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(super) run: Arc<Run>,
    pub(crate) log_id: Uuid,
    /// Its tasks, where they are not told yet.
    pub(crate) of: Vec<RunOf>,
    pub(crate) tasks: usize,
    pub(crate) most_lines: usize,
    pub(crate) number: i32,
    /// The first chunk that stays.
    pub(crate) stays: i32,
    pub(crate) said: i64,
    /// When the first line of the run was logged.
    pub(crate) first: Instant,
    pub(super) lines: Vec<Line>,
    pub(super) bytes: usize,
}

impl Chunk {
    pub(crate) fn line_count(&self) -> usize {
        self.lines.len()
    }

    /// Returns its lines as an array of JSON.
    pub(crate) fn json(&self) -> String {
        let mut array = String::with_capacity(self.bytes + 16 * self.lines.len() + 2);
        array.push('[');
        for (at, line) in self.lines.iter().enumerate() {
            if at > 0 {
                array.push(',');
            }
            line.write(self.first, &mut array);
        }
        array.push(']');
        array
    }
}

/// A run that was written just before.
#[derive(Debug)]
pub(super) struct TooEarly;

impl Held {
    /// Forgets what was written and is not needed beside what was written later.
    fn forget_older(&mut self, caps: Caps) {
        let (mut lines, mut bytes) = (0, 0);
        for written in &self.written {
            lines += written.lines;
            bytes += written.bytes;
        }
        while let Some(oldest) = self.written.front() {
            (lines, bytes) = (lines - oldest.lines, bytes - oldest.bytes);
            if lines < caps.lines && bytes < caps.bytes {
                break;
            }
            self.written.pop_front();
        }
    }
}

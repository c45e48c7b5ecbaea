//! The history of a run, kept outside of the system under test: each process appends lines to a file
//! of its own, with times of a clock that all processes of a machine share.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use taskq::Attempt;

/// Since the machine was started, asleep or not.
pub type Moment = Duration;

/// What one process saw or did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A transaction is about to enqueue tasks.
    Intended(Batch),
    /// That transaction has committed.
    Committed {
        /// The batch, by its first task.
        first: i64,
    },
    /// That transaction was rolled back.
    RolledBack {
        /// The batch, by its first task.
        first: i64,
    },
    /// An attempt has begun.
    Started {
        /// Its number within the process.
        run: u64,
        /// The task, by the number in its payload.
        n: i64,
        /// The task, by its id.
        task_id: i64,
        /// The number of the attempt.
        attempt: u16,
        /// The type of the task.
        task_type: String,
        /// Its queue.
        queue: String,
    },
    /// An attempt is over.
    Ended {
        /// Its number within the process.
        run: u64,
        /// How.
        how: How,
    },
    /// The process has not run for a while: it was stopped, or starved.
    Stalled {
        /// When it last ran before.
        since: Moment,
    },
    /// The server is about to be killed.
    ServerKilled,
    /// Something else was done to the system, by which a worker may seem to vanish.
    Fault(String),
    /// Something was done to the system by which no worker vanishes.
    Trouble(String),
    /// An attempt found its session other than a new one.
    Trace {
        /// The task, by the number in its payload.
        n: i64,
        /// What it found.
        what: String,
    },
    /// Postgres has refused what a hook wrote in the transaction of an attempt: like what a handler writes, it uses the
    /// attempt.
    HookRefused {
        /// The task, by the number in its payload.
        n: i64,
    },
    /// A task that was taken back waits under another id.
    Renumbered {
        /// The task, by the number in its payload.
        n: i64,
    },
    /// A refused task waits again, whoever has its key by now.
    TakenBack {
        /// The task, by the number in its payload.
        n: i64,
    },
    /// An enqueue was told that its task has a key.
    KeyTaken {
        /// The task, by the number in its payload.
        n: i64,
        /// The key.
        key: i64,
        /// So many others lived then that have it.
        others: i64,
    },
    /// An enqueue was told that another task has the key.
    KeyHeld {
        /// The key.
        key: i64,
        /// The other task, by its id.
        task_id: i64,
        /// Whether that task had ended before the enqueue began.
        is_over: bool,
    },
    /// A handler of many payloads was called.
    Gathered {
        /// The tasks, by the numbers in their payloads.
        numbers: Vec<i64>,
    },
    /// A hook was told of the end of an attempt.
    Told {
        /// The task, by the number in its payload.
        n: i64,
        /// What became of it.
        outcome: String,
    },
    /// Who waits for a task was told what became of it.
    Answered {
        /// The task, by the number in its payload.
        n: i64,
        /// The task, by its id.
        task_id: i64,
        /// What its handler returned, or how else it ended.
        what: String,
    },
    /// Who waits for a task was told that Postgres refuses to say.
    WaitFailed {
        /// The task, by the number in its payload.
        n: i64,
        /// What Postgres said.
        error: String,
    },
    /// Nobody waits for a task any more in this process.
    WaitEnded {
        /// The task, by the number in its payload.
        n: i64,
    },
    /// A process in which some wait is about to end, when all tasks have ended.
    StillWaiting {
        /// So many have not been told.
        waits: usize,
    },
    /// The sequence of ids was set back. Those up to the second may come again.
    SetBack {
        /// The next one.
        from: i64,
        /// The last one that there was.
        to: i64,
    },
    /// This process does not listen: it hears of pauses when it scans.
    Deaf,
    /// The pause of a scope has committed.
    Paused(Scope),
    /// A pause is about to end.
    Resuming(Scope),
}

/// What an operator pauses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scope {
    /// All tasks of a queue.
    Queue(String),
    /// All tasks of a type.
    TaskType(String),
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum How {
    /// The handler returned and was content.
    Succeeded,
    /// The handler returned an error.
    Failed,
    /// The handler returned what Postgres said of a statement of its own that was right: there was no room, or the
    /// server was read-only. Like each error of a handler's statements, it uses an attempt.
    Refused,
    /// The handler was dropped, or returned the error of a connection that was lost.
    Dropped,
}

/// Tasks that are enqueued in one transaction, numbered one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The number of the first.
    pub first: i64,
    /// How many there are.
    pub count: i64,
    /// What is to become of each.
    pub plan: Plan,
}

/// What is to become of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Its handler works in its transaction.
    pub once: bool,
    /// So many attempts fail, counted by their numbers.
    pub failures: u16,
    /// So many attempts it has.
    pub max_attempts: u16,
}

impl Batch {
    /// Returns the numbers of its tasks.
    pub fn numbers(&self) -> std::ops::Range<i64> {
        self.first..self.first + self.count
    }
}

impl Plan {
    /// Tells whether the task succeeds in the end.
    pub fn succeeds(&self) -> bool {
        self.failures < self.max_attempts
    }
}

/// An event and when it happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: Moment,
    /// What.
    pub event: Event,
}

/// Everything that one process recorded, in order.
pub type Process = Vec<Entry>;

/// Returns the events of all processes, each with its moment.
pub fn events(processes: &[Process]) -> impl Iterator<Item = (Moment, &Event)> {
    processes
        .iter()
        .flatten()
        .map(|entry| (entry.at, &entry.event))
}

/// Returns the time, on the clock that all processes of this machine share.
pub fn now() -> Moment {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

/// Appends to a history.
#[derive(Debug)]
pub struct Recorder {
    file: File,
    runs: AtomicU64,
}

impl Recorder {
    /// Opens the file of a process.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self {
            file,
            runs: AtomicU64::new(0),
        })
    }

    /// Records an event. It is in the hands of the kernel when this returns, so that a process
    /// killed afterwards has left it.
    ///
    /// # Panics
    ///
    /// When it cannot be written: without its history a test means nothing.
    pub fn record(&self, event: Event) {
        let entry = Entry { at: now(), event };
        let mut line = serde_json::to_vec(&entry).expect("an entry is plain data");
        line.push(b'\n');
        (&self.file).write_all(&line).expect("the history is kept");
    }

    /// Records the call of a handler of many payloads.
    pub fn gathered(&self, numbers: &[i64]) {
        self.record(Event::Gathered {
            numbers: numbers.to_vec(),
        });
    }

    /// Records the start of an attempt, and its end when the returned value is dropped.
    pub fn started(&self, n: i64, attempt: &Attempt) -> Running<'_> {
        let run = self.runs.fetch_add(1, Ordering::SeqCst);
        self.record(Event::Started {
            run,
            n,
            task_id: attempt.task_id(),
            attempt: attempt.number(),
            task_type: attempt.task_type().to_owned(),
            queue: attempt.queue().to_owned(),
        });
        Running {
            recorder: self,
            run,
            how: How::Dropped,
        }
    }
}

/// An attempt under way.
#[derive(Debug)]
pub struct Running<'a> {
    recorder: &'a Recorder,
    run: u64,
    how: How,
}

impl Running<'_> {
    /// Records how the handler ends by itself.
    pub fn ends(mut self, how: How) {
        self.how = how;
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.recorder.record(Event::Ended {
            run: self.run,
            how: self.how,
        });
    }
}

/// Reads the files of all processes in a folder.
///
/// # Panics
///
/// When they cannot be read.
pub fn read(folder: &Path) -> Vec<Process> {
    fs::read_dir(folder)
        .expect("the folder of the history")
        .map(|file| {
            let text = fs::read_to_string(file.expect("a file").path()).expect("the history");
            text.lines()
                // The last line of a killed process may be half written.
                .filter_map(|line| serde_json::from_str(line).ok())
                .collect()
        })
        .collect()
}

/// Returns the tasks whose handler has succeeded at least once.
pub fn succeeded(processes: &[Process]) -> HashSet<i64> {
    let mut found = HashSet::new();
    for process in processes {
        let mut numbers = std::collections::HashMap::new();
        for entry in process {
            match entry.event {
                Event::Started { run, n, .. } => {
                    numbers.insert(run, n);
                }
                Event::Ended {
                    run,
                    how: How::Succeeded,
                } => found.extend(numbers.get(&run)),
                _ => {}
            }
        }
    }
    found
}

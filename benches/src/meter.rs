//! Counts the handlers that ran: each task once, and when.

use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::time::sleep;

/// How often the bench looks at the meter.
const GLANCE: Duration = Duration::from_millis(1);

/// Every task of a measurement has a number, from zero on. Handlers tell the meter that they ran.
#[derive(Debug)]
pub struct Meter {
    clock: Instant,
    first: OnceLock<Instant>,
    ran: AtomicU64,
    repeated: AtomicU64,
    stray: AtomicU64,
    /// A bit for each task that ran.
    bits: Vec<AtomicU64>,
    /// When each task was handed to `enqueue`, when that had returned, and when its handler began, in microseconds. Empty
    /// where nobody asks for latencies.
    sent: Vec<AtomicU32>,
    committed: Vec<AtomicU32>,
    begun: Vec<AtomicU32>,
}

impl Meter {
    /// Returns a meter for tasks numbered below `capacity`.
    pub fn counting(capacity: u64) -> Self {
        Self::with_times(capacity, 0)
    }

    /// Returns a meter that also notes how long each task waited.
    pub fn timing(capacity: u64) -> Self {
        Self::with_times(capacity, capacity)
    }

    fn with_times(capacity: u64, timed: u64) -> Self {
        Self {
            clock: Instant::now(),
            first: OnceLock::new(),
            ran: AtomicU64::new(0),
            repeated: AtomicU64::new(0),
            stray: AtomicU64::new(0),
            bits: (0..capacity.div_ceil(64))
                .map(|_| AtomicU64::new(0))
                .collect(),
            sent: (0..timed).map(|_| AtomicU32::new(0)).collect(),
            committed: (0..timed).map(|_| AtomicU32::new(NEVER)).collect(),
            begun: (0..timed).map(|_| AtomicU32::new(NEVER)).collect(),
        }
    }

    /// Says that the handler of this task ran.
    pub fn ran(&self, number: u64) {
        self.first.get_or_init(Instant::now);
        let Some(word) = self.bits.get((number / 64) as usize) else {
            self.stray.fetch_add(1, Relaxed);
            return;
        };
        let bit = 1 << (number % 64);
        if word.fetch_or(bit, Relaxed) & bit != 0 {
            self.repeated.fetch_add(1, Relaxed);
            return;
        }
        if let Some(begun) = self.begun.get(number as usize) {
            begun.store(self.micros_at(Instant::now()), Relaxed);
        }
        self.ran.fetch_add(1, Relaxed);
    }

    /// Says that this task is being enqueued, or should have been by now.
    pub fn sent_at(&self, number: u64, when: Instant) {
        if let Some(sent) = self.sent.get(number as usize) {
            sent.store(self.micros_at(when), Relaxed);
        }
    }

    /// Says that the enqueue of this task has returned, and so its commit.
    pub fn committed(&self, number: u64) {
        if let Some(committed) = self.committed.get(number as usize) {
            committed.store(self.micros_at(Instant::now()), Relaxed);
        }
    }

    /// Returns when the first handler ran.
    pub fn first(&self) -> Option<Instant> {
        self.first.get().copied()
    }

    pub fn count(&self) -> u64 {
        self.ran.load(Relaxed)
    }

    /// Waits until so many handlers ran; `false` if they did not in time.
    pub async fn reaches(&self, count: u64, deadline: Instant) -> bool {
        while self.count() < count {
            if Instant::now() >= deadline {
                return false;
            }
            sleep(GLANCE).await;
        }
        true
    }

    /// Makes sure that no task ran twice, and none that nobody enqueued.
    pub fn check_none_repeated(&self) -> Result<()> {
        let (repeated, stray) = (self.repeated.load(Relaxed), self.stray.load(Relaxed));
        ensure!(repeated == 0, "{repeated} tasks ran more than once");
        ensure!(stray == 0, "{stray} tasks ran that were never enqueued");
        Ok(())
    }

    /// Makes sure that each of the first `count` tasks ran exactly once, and nothing else did.
    pub fn check_exactly_once(&self, count: u64) -> Result<()> {
        self.check_none_repeated()?;
        let missing = (0..count).filter(|number| !self.has_run(*number)).count();
        ensure!(missing == 0, "{missing} of {count} tasks did not run");
        let ran = self.count();
        ensure!(ran == count, "{ran} tasks ran where {count} were enqueued");
        Ok(())
    }

    pub fn has_run(&self, number: u64) -> bool {
        self.bits
            .get((number / 64) as usize)
            .is_some_and(|word| word.load(Relaxed) & (1 << (number % 64)) != 0)
    }

    /// Returns how long those of these tasks that ran had waited, from the call of `enqueue` on.
    pub fn latencies(&self, numbers: Range<u64>) -> Vec<Duration> {
        self.waits(&self.sent, numbers)
    }

    /// Does what [`latencies`](Self::latencies) does, from the return of `enqueue` on. A handler may begin before that.
    pub fn latencies_after_commit(&self, numbers: Range<u64>) -> Vec<Duration> {
        self.waits(&self.committed, numbers)
    }

    fn waits(&self, since: &[AtomicU32], numbers: Range<u64>) -> Vec<Duration> {
        let numbers = numbers.start as usize..numbers.end as usize;
        let times = since[numbers.clone()].iter().zip(&self.begun[numbers]);
        let times = times.map(|(since, begun)| (since.load(Relaxed), begun.load(Relaxed)));
        times
            .filter(|(since, begun)| *since != NEVER && *begun != NEVER)
            .map(|(since, begun)| Duration::from_micros(begun.saturating_sub(since).into()))
            .collect()
    }

    fn micros_at(&self, when: Instant) -> u32 {
        micros(when.saturating_duration_since(self.clock))
    }
}

/// Stands for a time that has not come.
const NEVER: u32 = u32::MAX;

/// Seventy minutes fit; no measurement takes so long.
fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX - 1)
}

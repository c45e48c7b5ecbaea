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
    /// When each task was handed to `enqueue`, in microseconds, and how long its handler took to
    /// begin. Empty where nobody asks for latencies.
    sent: Vec<AtomicU32>,
    latency: Vec<AtomicU32>,
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
            latency: (0..timed).map(|_| AtomicU32::new(u32::MAX)).collect(),
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
        if let (Some(sent), Some(latency)) = (
            self.sent.get(number as usize),
            self.latency.get(number as usize),
        ) {
            let waited = self.now().saturating_sub(sent.load(Relaxed));
            latency.store(waited, Relaxed);
        }
        self.ran.fetch_add(1, Relaxed);
    }

    /// Says that this task is being enqueued, or should have been by now.
    pub fn sent_at(&self, number: u64, when: Instant) {
        if let Some(sent) = self.sent.get(number as usize) {
            let since = when.saturating_duration_since(self.clock);
            sent.store(micros(since), Relaxed);
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

    /// Returns how long those of these tasks waited that ran.
    pub fn latencies(&self, numbers: Range<u64>) -> Vec<Duration> {
        self.latency[numbers.start as usize..numbers.end as usize]
            .iter()
            .map(|micros| micros.load(Relaxed))
            .filter(|micros| *micros != u32::MAX)
            .map(|micros| Duration::from_micros(micros.into()))
            .collect()
    }

    fn now(&self) -> u32 {
        micros(self.clock.elapsed())
    }
}

/// Seventy minutes fit; no measurement takes so long.
fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX - 1)
}

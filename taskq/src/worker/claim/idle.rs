//! What a queue does while nothing is due: it backs off, then listens.
//!
//! After the first empty scan the queue pauses for a millisecond. After the second the worker registers
//! as a waiting listener, so that enqueues notify it, and scans once more. Then it waits for a notification.
//!
//! One enqueue can still be missed: its transaction looked for waiting listeners before the registration, and
//! commits after that last scan. So the queue is scanned again after ever longer pauses, up to the poll interval.

use std::time::{Duration, Instant};

/// How long a queue pauses after the first empty scan, the second and so on; then for the poll interval.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(1),
    Duration::from_millis(20),
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(2),
];

/// The longest pause while suspects wait for one another: nobody notifies a worker when their turn comes.
pub(super) const LONGEST_WITH_SUSPECTS: Duration = PAUSES[2];

/// With so many claims in a row that brought tasks a worker removes its registration. A single task does not: the
/// next scan will find the queue empty again.
const BUSY_FROM: u32 = 2;

/// How long to wait after the first failure of the database; doubled with each further one.
const FIRST_RETRY: Duration = Duration::from_millis(100);
/// Postgres restarts within seconds, and a worker should not be what is waited for.
const LONGEST_RETRY: Duration = Duration::from_secs(1);

/// Whether a queue is idle, and until when.
#[derive(Debug, Default)]
pub(super) struct Idle {
    /// When to scan again; absent while there is something to claim.
    paused_until: Option<Instant>,
    /// Pauses since the last claim that brought tasks, or the last notification.
    pauses: usize,
    /// Claims that brought tasks since the queue was last empty.
    claims: u32,
    /// When the registration as a waiting listener expires.
    listening_until: Option<Instant>,
    /// Failures of the database since its last answer.
    failures: u32,
}

impl Idle {
    /// Returns when the pause ends, if the queue pauses.
    pub(super) fn paused_until(&self, now: Instant) -> Option<Instant> {
        self.paused_until.filter(|until| *until > now)
    }

    /// Tells whether the worker is registered as a waiting listener, and is busy.
    pub(super) fn should_stop_listening(&self) -> bool {
        self.claims >= BUSY_FROM && self.listening_until.is_some()
    }

    /// Returns how long to listen, if the worker should register before it pauses again: not after the first empty
    /// scan, and not while its registration outlasts the pause.
    pub(super) fn listening_time(&self, now: Instant, longest: Duration) -> Option<Duration> {
        let is_registered = (self.listening_until).is_some_and(|until| until > now + longest);
        let is_due = self.pauses > 0 && !is_registered;
        is_due.then_some(longest * 3 + PAUSES[PAUSES.len() - 1])
    }

    /// Records that the database answered a claim, and whether that brought tasks.
    pub(super) fn record_claim(&mut self, brought_tasks: bool) {
        self.failures = 0;
        if brought_tasks {
            self.pauses = 0;
            self.claims += 1;
        }
    }

    /// Records that nothing is due.
    pub(super) fn record_empty(&mut self) {
        self.claims = 0;
    }

    /// Records that the queue pauses from now on: for the next of [`PAUSES`], but no longer than `longest`, and not
    /// past the moment when the next task is due.
    pub(super) fn record_pause(&mut self, now: Instant, longest: Duration, due_in: Duration) {
        self.failures = 0;
        let pause = PAUSES.get(self.pauses).copied().unwrap_or(longest);
        self.pauses += 1;
        self.paused_until = Some(now + pause.min(longest).min(due_in));
    }

    /// Records a registration as a waiting listener. One more scan follows at once: it finds what was committed
    /// before.
    pub(super) fn record_listening(&mut self, until: Instant) {
        self.failures = 0;
        self.listening_until = Some(until);
        self.paused_until = None;
    }

    /// Records that the registration is gone, or about to be.
    pub(super) fn record_not_listening(&mut self) {
        self.listening_until = None;
    }

    /// Records a notification. Whoever sent it may be about to commit: if nothing is there yet, the next scans
    /// follow soon.
    pub(super) fn record_notified(&mut self) {
        self.paused_until = None;
        self.pauses = 0;
    }

    /// Records a failure of the database, and returns how long to wait: half of the time and, by `chance`, up to
    /// all of it.
    pub(super) fn record_failure(&mut self, now: Instant, chance: f64) -> Duration {
        let longest = FIRST_RETRY
            .saturating_mul(1 << self.failures.min(16))
            .min(LONGEST_RETRY);
        let pause = longest.mul_f64(0.5 + 0.5 * chance);
        self.failures += 1;
        self.paused_until = Some(now + pause);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLL_INTERVAL: Duration = Duration::from_secs(10);

    fn milliseconds(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// Lets a queue be found empty, and returns how long it pauses; nothing if it listens first.
    fn found_empty(idle: &mut Idle, now: Instant) -> Option<Duration> {
        idle.record_empty();
        if let Some(duration) = idle.listening_time(now, POLL_INTERVAL) {
            idle.record_listening(now + duration);
            return None;
        }
        idle.record_pause(now, POLL_INTERVAL, POLL_INTERVAL);
        let until = idle.paused_until(now).expect("it pauses");
        Some(until - now)
    }

    #[test]
    fn an_empty_queue_backs_off_then_listens_then_is_polled() {
        let (mut idle, now) = (Idle::default(), Instant::now());
        let steps: Vec<_> = (0..8).map(|_| found_empty(&mut idle, now)).collect();
        let expected = [1, 0, 20, 100, 500, 2_000, 10_000, 10_000];
        let expected = expected.map(|pause| (pause > 0).then(|| milliseconds(pause)));
        assert_eq!(steps, expected);
        let later = now + milliseconds(25_000);
        assert_eq!(found_empty(&mut idle, later), None, "it registers again");
    }

    #[test]
    fn a_pause_ends_when_the_next_task_is_due() {
        let (mut idle, now) = (Idle::default(), Instant::now());
        let due_in = Duration::from_micros(500);
        idle.record_pause(now, POLL_INTERVAL, due_in);
        assert_eq!(idle.paused_until(now), Some(now + due_in));
        assert_eq!(idle.paused_until(now + due_in), None);
    }

    #[test]
    fn a_notification_ends_a_pause_and_keeps_the_registration() {
        let (mut idle, now) = (Idle::default(), Instant::now());
        for _ in 0..5 {
            found_empty(&mut idle, now);
        }
        idle.record_notified();
        assert_eq!(idle.paused_until(now), None);
        assert_eq!(found_empty(&mut idle, now), Some(milliseconds(1)));
        assert_eq!(found_empty(&mut idle, now), Some(milliseconds(20)));
    }

    #[test]
    fn a_busy_worker_listens_no_more() {
        let (mut idle, now) = (Idle::default(), Instant::now());
        for _ in 0..2 {
            found_empty(&mut idle, now);
        }
        idle.record_claim(true);
        assert!(!idle.should_stop_listening(), "it may be a single task");
        idle.record_claim(true);
        assert!(idle.should_stop_listening());
        idle.record_not_listening();
        assert!(!idle.should_stop_listening());
    }

    #[test]
    fn failures_wait_ever_longer() {
        let (mut idle, now) = (Idle::default(), Instant::now());
        let mut failed = |chance| idle.record_failure(now, chance);
        assert_eq!(failed(1.0), milliseconds(100));
        assert_eq!(failed(0.0), milliseconds(100));
        assert_eq!(failed(1.0), milliseconds(400));
        let much_later = (0..40).map(|_| failed(1.0)).last();
        assert_eq!(much_later, Some(LONGEST_RETRY));
        idle.record_claim(false);
        assert_eq!(idle.record_failure(now, 1.0), milliseconds(100));
        // A standby answers the scan, and refuses the registration.
        idle.record_empty();
        assert_eq!(idle.record_failure(now, 1.0), milliseconds(200));
        found_empty(&mut idle, now);
        assert_eq!(idle.record_failure(now, 1.0), milliseconds(100));
    }
}

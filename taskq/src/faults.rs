//! Crash points and edits of statements, for taskq's own tests. Not public API.
//!
//! With the feature `faults`, the environment makes a process fail at a named place, or say something
//! else to Postgres than is written in `store/sql`. Without the feature, both are nothing at all.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `TASKQ_CRASH_AT` | the crash point at which the process sends itself SIGKILL, such as `after_claim`; `after_claim:3` is the third time |
//! | `TASKQ_PAUSE_AT` | the same with SIGSTOP |
//! | `TASKQ_PANIC_AT` | the same with a panic |
//! | `TASKQ_HANG_AT` | the same, and the thread goes on no more |
//! | `TASKQ_EDITS` | edits of statements, as JSON: `[{"statement": "rescue", "from": "…", "to": "…"}]`; each `from` stands in its statement exactly once |
//!
//! A test may also call `drain_no_longer_than`, so as not to wait a minute for what never ends.
//!
//! A process whose environment names a crash point, a statement or a text that is not there does not
//! start.

#[cfg(feature = "faults")]
pub use self::with_faults::{CRASH_POINTS, drain_no_longer_than};
#[cfg(feature = "faults")]
pub(crate) use self::with_faults::{crash_point, drain_limit, require_possible, statement};
#[cfg(not(feature = "faults"))]
pub(crate) use self::without::{crash_point, drain_limit, require_possible, statement};

#[cfg(not(feature = "faults"))]
mod without {
    use std::time::Duration;

    #[inline]
    pub(crate) fn crash_point(_: &'static str) {}

    #[inline]
    pub(crate) fn drain_limit(limit: Duration) -> Duration {
        limit
    }

    #[inline]
    pub(crate) fn require_possible(_: &[&str]) {}

    #[inline]
    pub(crate) fn statement(_: &'static str, text: &'static str) -> &'static str {
        text
    }
}

#[cfg(feature = "faults")]
mod with_faults {
    use std::cell::Cell;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;
    use std::{env, thread};

    use rustix::process::{Signal, getpid, kill_process};
    use serde::Deserialize;

    /// The places at which a process can be made to fail.
    pub const CRASH_POINTS: &[&str] = &[
        "before_reserve",
        "after_reserve",
        "before_claim",
        "after_claim",
        "before_handler",
        "after_handler",
        "before_complete",
        "after_complete",
        "before_settle",
        "after_settle",
        "after_begin",
        "after_undo",
        "before_commit",
        "after_commit",
        "before_heartbeat",
        "after_heartbeat",
        "before_rescue",
        "after_rescue",
        "before_hand_back",
        "before_duty",
        "after_prune",
        "before_tick",
        "after_tick",
    ];

    static CRASH: LazyLock<Option<Point>> = LazyLock::new(|| Point::of("TASKQ_CRASH_AT"));
    static PAUSE: LazyLock<Option<Point>> = LazyLock::new(|| Point::of("TASKQ_PAUSE_AT"));
    static PANIC: LazyLock<Option<Point>> = LazyLock::new(|| Point::of("TASKQ_PANIC_AT"));
    static HANG: LazyLock<Option<Point>> = LazyLock::new(|| Point::of("TASKQ_HANG_AT"));
    static EDITS: LazyLock<Vec<Edit>> = LazyLock::new(edits);

    thread_local! {
        static DRAIN_LIMIT: Cell<Option<Duration>> = const { Cell::new(None) };
    }

    /// Has [`drain`](crate::testing::drain) give up after so long, where this thread calls it.
    pub fn drain_no_longer_than(limit: Duration) {
        DRAIN_LIMIT.set(Some(limit));
    }

    /// Returns after how long a worker gives up that drains, if that is `limit` otherwise.
    pub(crate) fn drain_limit(limit: Duration) -> Duration {
        DRAIN_LIMIT.get().unwrap_or(limit)
    }

    /// Kills or stops the process or this thread, or panics, if the environment names this point.
    pub(crate) fn crash_point(name: &'static str) {
        debug_assert!(CRASH_POINTS.contains(&name), "`{name}` is not in the list");
        let is_reached = |point: &Option<Point>| {
            let point = point.as_ref();
            point.is_some_and(|point| point.is_reached(name))
        };
        if is_reached(&CRASH) {
            send(Signal::KILL);
        }
        if is_reached(&PAUSE) {
            send(Signal::STOP);
        }
        assert!(!is_reached(&PANIC), "TASKQ_PANIC_AT={name}");
        if is_reached(&HANG) {
            loop {
                thread::park();
            }
        }
    }

    fn send(signal: Signal) {
        let _ = kill_process(getpid(), signal);
        // The signal reaches this thread a moment later; nothing may happen before it does.
        thread::sleep(Duration::from_millis(100));
    }

    /// Returns a statement with the edits that the environment gives for it.
    pub(crate) fn statement(name: &str, text: &'static str) -> &'static str {
        let mut edits = EDITS.iter().filter(|edit| edit.statement == name);
        let Some(first) = edits.next() else {
            return text;
        };
        // A schema's statements are rendered once, so what leaks is little.
        String::leak(edits.fold(first.apply(text), |text, edit| edit.apply(&text)))
    }

    /// Panics if the environment asks for a fault that is not possible. These are the statements.
    pub(crate) fn require_possible(statements: &[&str]) {
        for point in [&CRASH, &PAUSE, &PANIC, &HANG] {
            LazyLock::force(point);
        }
        for edit in EDITS.iter() {
            let name = &*edit.statement;
            assert!(
                statements.contains(&name),
                "TASKQ_EDITS: there is no statement `{name}`"
            );
        }
    }

    fn edits() -> Vec<Edit> {
        let Ok(text) = env::var("TASKQ_EDITS") else {
            return Vec::new();
        };
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("TASKQ_EDITS: {error}"))
    }

    /// A change of a statement's text.
    #[derive(Debug, Deserialize)]
    struct Edit {
        statement: String,
        from: String,
        to: String,
    }

    impl Edit {
        fn apply(&self, text: &str) -> String {
            let Self {
                statement,
                from,
                to,
            } = self;
            let count = text.matches(from.as_str()).count();
            assert!(
                count == 1,
                "TASKQ_EDITS: `{from}` must stand once in `{statement}`, and stands there {count} times"
            );
            text.replace(from.as_str(), to)
        }
    }

    struct Point {
        name: String,
        /// How often it is passed before it is reached.
        left: AtomicU32,
    }

    impl Point {
        fn of(variable: &str) -> Option<Self> {
            let text = env::var(variable).ok()?;
            let (name, count) = text.split_once(':').unwrap_or((&text, "1"));
            assert!(
                CRASH_POINTS.contains(&name),
                "{variable}: there is no crash point `{name}`"
            );
            let count = count.parse().expect("the count of a crash point");
            Some(Self {
                name: name.to_owned(),
                left: AtomicU32::new(count),
            })
        }

        fn is_reached(&self, name: &str) -> bool {
            self.name == name && self.left.fetch_sub(1, Ordering::SeqCst) == 1
        }
    }
}

//! Crash points and planted bugs, for taskq's own tests. Not public API.
//!
//! With the feature `faults` a process can be made to kill itself at a named place, and a defect
//! can be planted that a checker has to find; without it, both are nothing at all. The environment
//! chooses:
//!
//! | variable | meaning |
//! | --- | --- |
//! | `TASKQ_CRASH_AT` | the crash point at which the process sends itself SIGKILL, such as `after_claim`; `after_claim:3` is the third time |
//! | `TASKQ_PAUSE_AT` | the same with SIGSTOP |
//! | `TASKQ_PLANT` | the bug that is planted |

#[cfg(feature = "faults")]
pub use self::with_faults::{CRASH_POINTS, PLANTS};
#[cfg(feature = "faults")]
pub(crate) use self::with_faults::{crash_point, is_planted, statement};
#[cfg(not(feature = "faults"))]
pub(crate) use self::without::{crash_point, is_planted, statement};

#[cfg(not(feature = "faults"))]
mod without {
    #[inline]
    pub(crate) fn crash_point(_: &'static str) {}

    #[inline]
    pub(crate) fn is_planted(_: &'static str) -> bool {
        false
    }

    #[inline]
    pub(crate) fn statement(_: &'static str, text: &'static str) -> &'static str {
        text
    }
}

#[cfg(feature = "faults")]
mod with_faults {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;
    use std::{env, thread};

    use rustix::process::{Signal, getpid, kill_process};

    /// The places at which a process can be made to kill itself.
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
    ];

    /// A bug that can be planted, and what it replaces in which statements. Where that is nothing,
    /// the code asks [`is_planted`].
    #[derive(Debug)]
    pub struct Plant {
        /// Its name.
        pub name: &'static str,
        edits: &'static [Edit],
    }

    #[derive(Debug)]
    struct Edit {
        statement: &'static str,
        from: &'static str,
        to: &'static str,
    }

    /// Every bug that can be planted.
    pub const PLANTS: &[Plant] = &[
        // A completion counts whether or not the lease is still there.
        Plant {
            name: "no_fence",
            edits: &[
                Edit {
                    statement: "complete_own",
                    from: "'the lease of this task is gone'",
                    to: "'1'",
                },
                Edit {
                    statement: "complete",
                    from: "delete from taskq.lease",
                    to: ", gone as (delete from taskq.lease",
                },
                Edit {
                    statement: "complete",
                    from: "returning lease.lease_id",
                    to: ") select given.lease_id from unnest($1::uuid[]) as given (lease_id)",
                },
            ],
        },
        // The number of a lease comes from a sequence, of which a crashed server forgets the last
        // values. The test makes the sequence.
        Plant {
            name: "sequence",
            edits: &[Edit {
                statement: "claim",
                from: "else $1::uuid",
                to: "else coalesce((select lpad(to_hex(nextval('lease_sequence')), 32, '0')::uuid), $1::uuid)",
            }],
        },
        Plant {
            name: "rescue_unexpired",
            edits: &[Edit {
                statement: "rescue",
                from: "and lease.expires_at < now()",
                to: "",
            }],
        },
        // What a failed handler wrote is not undone before its failure is committed.
        Plant {
            name: "no_savepoint",
            edits: &[Edit {
                statement: "undo",
                from: "rollback to savepoint taskq_attempt",
                to: "select 1",
            }],
        },
        // The maintenance of a worker ends by itself after the time of a lease.
        Plant {
            name: "part_ends",
            edits: &[],
        },
        // A claim that brought less than asked sends the worker to sleep.
        Plant {
            name: "short_is_empty",
            edits: &[],
        },
        // An outcome counts for a task that has already left its lease.
        Plant {
            name: "outcome_twice",
            edits: &[Edit {
                statement: "settle",
                from: "and task_id <> all (done)",
                to: "and task_id is not null",
            }],
        },
        // Heartbeats extend what belongs to the worker, not what it holds in memory.
        Plant {
            name: "beat_by_worker",
            edits: &[Edit {
                statement: "heartbeat",
                from: "where lease.lease_id = any ($1::uuid[])",
                to: "where lease.worker_id in (select mine.worker_id from taskq.lease as mine where mine.lease_id = any ($1::uuid[]))",
            }],
        },
    ];

    /// Ends or stops the process, if the environment names this point.
    pub(crate) fn crash_point(name: &'static str) {
        static CRASH: LazyLock<Option<Point>> = LazyLock::new(|| Point::of("TASKQ_CRASH_AT"));
        static PAUSE: LazyLock<Option<Point>> = LazyLock::new(|| Point::of("TASKQ_PAUSE_AT"));
        debug_assert!(CRASH_POINTS.contains(&name), "`{name}` is not in the list");
        for (point, signal) in [(&*CRASH, Signal::KILL), (&*PAUSE, Signal::STOP)] {
            if point.as_ref().is_some_and(|point| point.is_reached(name)) {
                let _ = kill_process(getpid(), signal);
                // It reaches this thread a moment later; nothing may happen before it does.
                thread::sleep(Duration::from_millis(100));
            }
        }
    }

    /// Tells whether a bug is planted.
    pub(crate) fn is_planted(name: &'static str) -> bool {
        debug_assert!(
            PLANTS.iter().any(|plant| plant.name == name),
            "`{name}` is not in the list"
        );
        PLANTED.is_some_and(|plant| plant.name == name)
    }

    /// Returns a statement, with the planted bug in it.
    pub(crate) fn statement(name: &str, text: &'static str) -> &'static str {
        let edits = PLANTED.iter().flat_map(|plant| plant.edits);
        let mut edits = edits.filter(|edit| edit.statement == name).peekable();
        if edits.peek().is_none() {
            return text;
        }
        // A schema's statements are rendered once, so what leaks is little.
        String::leak(edits.fold(text.to_owned(), |text, edit| {
            assert!(
                text.matches(edit.from).count() == 1,
                "`{}` stands once in `{name}.sql`: mend the plant",
                edit.from
            );
            text.replace(edit.from, edit.to)
        }))
    }

    static PLANTED: LazyLock<Option<&Plant>> = LazyLock::new(|| {
        let name = env::var("TASKQ_PLANT").ok()?;
        let plant = PLANTS.iter().find(|plant| plant.name == name);
        Some(plant.unwrap_or_else(|| panic!("TASKQ_PLANT: there is no bug `{name}`")))
    });

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

//! The bugs that the tests plant. Each is a change of what the library says to Postgres, given to a
//! worker process by its environment, or of a function in the database: the library knows nothing of them.

use serde::Serialize;

/// A planted bug.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plant {
    pub(crate) name: &'static str,
    pub(crate) edits: &'static [Edit],
    /// The same of functions: the name of one stands for the statement.
    pub(crate) of_functions: &'static [Edit],
}

/// A change of a statement's text, in which `from` stands exactly once.
#[derive(Debug, Serialize)]
pub(crate) struct Edit {
    pub(crate) statement: &'static str,
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
}

/// A bug that has no edits, to be named anew.
const NONE: Plant = Plant {
    name: "none",
    edits: &[],
    of_functions: &[],
};

const fn edit(statement: &'static str, from: &'static str, to: &'static str) -> Edit {
    Edit {
        statement,
        from,
        to,
    }
}

pub(crate) const ALL: &[Plant] = &[
    NO_FENCE,
    SEQUENCE,
    RESCUE_UNEXPIRED,
    NOTHING_UNDONE,
    RESERVED_IS_CLAIMED,
    OUTCOME_TWICE,
    BEAT_BY_WORKER,
    REFUSED_IS_LOST,
    LOCKS_STAY,
    HAND_BACK_CHARGED,
    KEY_NOT_FREED,
    KEY_FREED_EARLY,
    SLOT_FREED_TWICE,
    START_NOT_CHARGED,
    PLACE_OF_ANOTHER,
    PAUSE_NOT_HEARD,
    TICK_IN_TWO,
    DISCARDED_NOT_COUNTED,
    GROUP_ENDS_TWICE,
    ANOTHER_RESULT,
    NOBODY_TOLD,
];

/// A completion counts whether or not the lease is still there.
pub(crate) const NO_FENCE: Plant = Plant {
    name: "no_fence",
    edits: &[
        edit("complete_own", "'the lease of this task is gone'", "'1'"),
        edit(
            "complete_own_silent",
            "'the lease of this task is gone'",
            "'0'",
        ),
        edit(
            "complete",
            "delete from taskq.lease",
            ", gone as (delete from taskq.lease",
        ),
        edit(
            "complete",
            "returning lease.lease_id",
            ") select given.lease_id from unnest($1::uuid[]) as given (lease_id)",
        ),
    ],
    ..NONE
};

/// The number of a lease comes from a sequence, of which a crashed server forgets the last values.
/// The test makes the sequence.
pub(crate) const SEQUENCE: Plant = Plant {
    name: "sequence",
    edits: &[
        edit(
            "claim",
            "else $1::uuid",
            "else coalesce((select lpad(to_hex(nextval('lease_sequence')), 32, '0')::uuid), $1::uuid)",
        ),
        edit(
            "claim_shared",
            "$1::uuid",
            "coalesce((select lpad(to_hex(nextval('lease_sequence')), 32, '0')::uuid), $1::uuid)",
        ),
        edit(
            "claim_shared_untouched",
            "$1::uuid",
            "coalesce((select lpad(to_hex(nextval('lease_sequence')), 32, '0')::uuid), $1::uuid)",
        ),
    ],
    ..NONE
};

/// A rescuer takes back a lease that was extended since it was found to have run out.
pub(crate) const RESCUE_UNEXPIRED: Plant = Plant {
    name: "rescue_unexpired",
    edits: &[edit("rescue", "and lease.expires_at < now()", "")],
    ..NONE
};

/// A failure is committed together with what its handler wrote.
pub(crate) const NOTHING_UNDONE: Plant = Plant {
    name: "nothing_undone",
    edits: &[edit("undo", "rollback; ", "")],
    ..NONE
};

const DUE: &str = "and task.run_at <= now()";
const DUE_AND_NOT_RESERVED: &str = "and task.run_at <= now()
     and not exists (
         select
         from taskq.frontier
         where frontier.queue = $4
           and frontier.task_type = lane.task_type
           and lane.crashes = 0
           and (frontier.run_at, frontier.task_id) >= (task.run_at, task.task_id)
     )";

/// A claim takes what was reserved for claimed. It brings less than it asked for, and the worker idles
/// beside tasks that are due.
pub(crate) const RESERVED_IS_CLAIMED: Plant = Plant {
    name: "reserved_is_claimed",
    edits: &[
        edit("claim", DUE, DUE_AND_NOT_RESERVED),
        edit("claim_own", DUE, DUE_AND_NOT_RESERVED),
        edit("claim_own_untouched", DUE, DUE_AND_NOT_RESERVED),
        edit("claim_shared", DUE, DUE_AND_NOT_RESERVED),
        edit("claim_shared_untouched", DUE, DUE_AND_NOT_RESERVED),
    ],
    ..NONE
};

const LEFT_IN_LEASE: &str = "taskq.left_in(held::taskq.lease)";
const ALL_OF_LEASE: &str =
    r#"taskq.left_in(jsonb_populate_record(held::taskq.lease, '{"done": []}'))"#;

/// An outcome counts for a task that has already left its lease.
pub(crate) const OUTCOME_TWICE: Plant = Plant {
    name: "outcome_twice",
    edits: &[
        edit("settle", LEFT_IN_LEASE, ALL_OF_LEASE),
        edit("settle_kept", LEFT_IN_LEASE, ALL_OF_LEASE),
    ],
    ..NONE
};

/// Heartbeats extend what belongs to the worker, not what it holds in memory. And it does not look for what it does
/// not hold, which would mend that.
pub(crate) const BEAT_BY_WORKER: Plant = Plant {
    name: "beat_by_worker",
    edits: &[
        edit(
            "heartbeat",
            "from unnest($1::uuid[]) as given (lease_id)",
            "from (
                 select lease.lease_id
                 from taskq.lease
                 join taskq.lease as mine using (worker_id)
                 where mine.lease_id = any ($1::uuid[])
                 group by lease.lease_id
             ) as given (lease_id)",
        ),
        edit(
            "strays",
            "where lease.worker_id = $1",
            "where lease.worker_id = $1 and false",
        ),
    ],
    ..NONE
};

/// A task that Postgres refuses leaves its lease, and goes nowhere.
pub(crate) const REFUSED_IS_LOST: Plant = Plant {
    name: "refused_is_lost",
    edits: &[
        edit(
            "settle_refused",
            "from settled\n    returning 1",
            "from settled\n    where false\n    returning 1",
        ),
        edit(
            "settle_refused",
            "(select count(*) from refused)",
            "(select count(*) from settled)",
        ),
    ],
    ..NONE
};

/// The locks that a handler has taken for its session stay when its task is completed.
pub(crate) const LOCKS_STAY: Plant = Plant {
    name: "locks_stay",
    edits: &[
        edit("complete_own", "pg_advisory_unlock_all() is null or", ""),
        edit(
            "complete_own_silent",
            "pg_advisory_unlock_all() is null",
            "false",
        ),
    ],
    ..NONE
};

/// A task that a worker hands back has used an attempt.
pub(crate) const HAND_BACK_CHARGED: Plant = Plant {
    name: "hand_back_charged",
    edits: &[edit(
        "settle",
        "attempts + (outcome = 'retry')::integer",
        "attempts + (outcome in ('retry', 'hand_back'))::integer",
    )],
    ..NONE
};

/// Whoever has had a key has it for ever.
pub(crate) const KEY_NOT_FREED: Plant = Plant {
    name: "key_not_freed",
    of_functions: &[edit("take_keys", "else state is null", "else false")],
    ..NONE
};

/// A key is free as soon as its task runs.
pub(crate) const KEY_FREED_EARLY: Plant = Plant {
    name: "key_freed_early",
    of_functions: &[edit(
        "take_keys",
        "else state is null",
        "else state is distinct from 'waiting'",
    )],
    ..NONE
};

const USED: &str = "cardinality(lease.task_ids) - cardinality(lease.done)";
const USED_LESS: &str = "cardinality(lease.task_ids) - 2 * cardinality(lease.done)";

/// What has left its lease gives up two places of its limit.
pub(crate) const SLOT_FREED_TWICE: Plant = Plant {
    name: "slot_freed_twice",
    of_functions: &[
        edit("next_key", USED, USED_LESS),
        edit("claim_limited", USED, USED_LESS),
    ],
    ..NONE
};

/// What starts uses nothing up of its rate.
pub(crate) const START_NOT_CHARGED: Plant = Plant {
    name: "start_not_charged",
    of_functions: &[edit(
        "charge",
        "started.number * rule.spacing",
        "0 * started.number * rule.spacing",
    )],
    ..NONE
};

/// A lease says that its tasks are of another key than theirs, so they use none of its places.
pub(crate) const PLACE_OF_ANOTHER: Plant = Plant {
    name: "place_of_another",
    of_functions: &[edit(
        "claim_limited",
        "names[1],
            door.key
        from of_key",
        "names[1],
            'other ' || door.key
        from of_key",
    )],
    ..NONE
};

const PAUSES_HELD: &str = "where (pause.until is null";
const NO_PAUSE_HELD: &str = "where (false";

/// A worker does not hear that something is paused.
pub(crate) const PAUSE_NOT_HEARD: Plant = Plant {
    name: "pause_not_heard",
    edits: &[
        edit("scan", PAUSES_HELD, NO_PAUSE_HELD),
        edit("scan_marked", PAUSES_HELD, NO_PAUSE_HELD),
        edit("pauses", "where pause.until is null", "where false"),
    ],
    ..NONE
};

/// A schedule is moved on in one transaction, and its task enqueued in another. The test makes the procedure.
pub(crate) const TICK_IN_TWO: Plant = Plant {
    name: "tick_in_two",
    edits: &[
        edit(
            "tick",
            "with taken as materialized (",
            "call tick_in_two($1, $2, $3, $4, $5, $6, $7, null) /*",
        ),
        edit("tick", "returning summed.ticks", "*/"),
    ],
    ..NONE
};

/// A group does not count its members that were discarded.
pub(crate) const DISCARDED_NOT_COUNTED: Plant = Plant {
    name: "discarded_not_counted",
    of_functions: &[edit(
        "commit_groups",
        "change.numbers -> 'discarded'",
        "change.numbers -> 'dismissed'",
    )],
    ..NONE
};

/// The end of a group enqueues its task twice.
pub(crate) const GROUP_ENDS_TWICE: Plant = Plant {
    name: "group_ends_twice",
    of_functions: &[edit(
        "commit_groups",
        "changed.ended_at is null then",
        "changed.ended_at is null then
            perform taskq.close_group(changed.group_id);",
    )],
    ..NONE
};

/// Whoever waits is told another result than that of his task.
pub(crate) const ANOTHER_RESULT: Plant = Plant {
    name: "another_result",
    edits: &[edit("ended", "history.result,", "to_jsonb(0) as result,")],
    ..NONE
};

/// Nobody who waits is told anything.
pub(crate) const NOBODY_TOLD: Plant = Plant {
    name: "nobody_told",
    edits: &[edit(
        "ended",
        "where not exists (select from running where running.task_id = asked.task_id)",
        "where false",
    )],
    ..NONE
};

//! All that operators can ask, in one table: what one face of taskq has, the others have too.

/// Something that an operator can ask, and how it is said in SQL, in Rust and on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verb {
    /// What it does, in a few words.
    pub name: &'static str,
    /// The functions, tables or views in the schema of the tables.
    pub sql: &'static [&'static str],
    /// The methods: of [`Operator`](super::Operator), unless another type is named.
    pub methods: &'static [&'static str],
    /// The commands of a worker's binary.
    pub commands: &'static [&'static str],
    /// Whether it changes anything.
    pub changes: bool,
}

const fn verb(
    name: &'static str,
    sql: &'static [&'static str],
    methods: &'static [&'static str],
    commands: &'static [&'static str],
    changes: bool,
) -> Verb {
    Verb {
        name,
        sql,
        methods,
        commands,
        changes,
    }
}

/// The table. A test compares it with the functions in the database, the methods, the commands and the guide.
#[rustfmt::skip]
pub const VERBS: &[Verb] = &[
    verb("list tasks", &["list"], &["list"], &["list"], false),
    verb("show a task", &["show"], &["show"], &["show"], false),
    verb("read what attempts logged", &["logs_of"], &["logs"], &["show"], false),
    verb("tell why a task does not run", &["why"], &["why"], &["show"], false),
    verb("tell causes", &["causes"], &["causes"], &["causes"], false),
    verb("say what is wrong", &["doctor"], &["doctor"], &["doctor"], false),
    verb("acknowledge trouble", &["acknowledge"], &["acknowledge"], &["acknowledge"], true),
    verb("have it count again", &["unacknowledge"], &["unacknowledge"], &["unacknowledge"], true),
    verb("tell how much waits, runs and is dead", &["stats"], &["stats"], &["stats"], false),
    verb("tell what was done by the minute", &["minute"], &["minutes"], &["minutes"], false),
    verb("tell the load of a queue", &["load"], &["load"], &["load"], false),
    verb("tell workers", &["workers"], &["workers"], &["workers"], false),
    verb("tell attempts that are perhaps stuck", &["stuck"], &["stuck"], &["workers"], false),
    verb("stop a worker", &["stop_worker"], &["stop_worker"], &["stop-worker"], true),
    verb("forget a vanished worker", &["forget_worker"], &["forget_worker"], &["forget-worker"], true),
    verb("end a session", &["end_session"], &["end_session"], &["end-session"], true),
    verb("tell who did what", &["audit"], &["audit"], &["audit"], false),
    verb("cancel", &["cancel"], &["cancel"], &["cancel"], true),
    verb("retry, now or at a time", &["retry"], &["retry", "retry_at"], &["retry"], true),
    verb("take a refused task back", &["take_back"], &["take_back", "take_back_all"], &["take-back"], true),
    verb("discard", &["discard"], &["discard"], &["discard"], true),
    verb("edit the payload, and retry", &["edit"], &["edit"], &["edit"], true),
    verb("enqueue by name and JSON", &["enqueue_by_hand", "enqueue"], &["enqueue"], &["enqueue"], true),
    verb("count all that match", &["count_matching"], &["Freezing::count"], &["retry --all --dry-run"], false),
    verb(
        "freeze all that match",
        &["freeze_bulk", "drop_bulk"],
        &["cancel_all", "retry_all", "discard_all", "reschedule_all", "drop_bulk"],
        &["cancel --all", "retry --all", "discard --all", "reschedule --all", "prune --dead", "prune --history"],
        true,
    ),
    verb("do it to what is frozen", &["begin_bulk", "step_bulk"], &["run_bulk"], &["bulk resume"], true),
    verb("stop that", &["stop_bulk"], &["stop_bulk"], &["bulk stop"], true),
    verb("tell what is kept no longer", &["prunable"], &["prunable"], &["prune --dry-run"], false),
    verb("prune what is kept no longer", &["prune_kept", "prune_history_day"], &["prune"], &["prune"], true),
    verb("say for how long tasks are kept", &["keep"], &["keep"], &["keep"], true),
    verb("tell for how long tasks are kept", &["keeps", "pruned"], &["keeps"], &["keeps"], false),
    verb("have what is declared hold again", &["reset_keep"], &["reset_keep"], &["reset-keep"], true),
    verb(
        "tell what was done to all",
        &["bulk", "bulk_failure", "follow_bulk"],
        &["bulks", "bulk", "bulk_failures", "follow_bulk"],
        &["bulk list", "bulk failures", "bulk follow"],
        false,
    ),
    verb("pause", &["pause_queue", "pause_task_type", "pause_schedule"], &["pause"], &["pause", "schedules pause"], true),
    verb("resume", &["resume_queue", "resume_task_type", "resume_schedule"], &["resume"], &["resume", "schedules resume"], true),
    verb("tell pauses, and what still runs", &["pause"], &["pauses", "running"], &["pauses"], false),
    verb("limit", &["limit_concurrency", "limit_rate"], &["limit"], &["limit"], true),
    verb("reset limits", &["reset_limits"], &["reset_limits"], &["reset-limits"], true),
    verb("tell limits", &["limits"], &["limits"], &["limits"], false),
    verb("say the weight of a key", &["set_weight"], &["weight"], &["weight"], true),
    verb("tell weights", &["fair_weight"], &["weights"], &["weights"], false),
    verb("tell groups", &["task_group"], &["groups", "group"], &["groups"], false),
    verb("seal a group", &["seal_group"], &["seal_group"], &["seal-group"], true),
    verb("tell blocked sequences", &["blocked"], &["blocked"], &["blocked"], false),
    verb("skip a dead task", &["skip_dead"], &["skip_dead"], &["skip-dead"], true),
    verb("tell schedules", &["schedule"], &["Schedules::list"], &["schedules"], false),
    verb("make or change a schedule", &["upsert_schedule"], &["Schedules::upsert"], &["schedules upsert"], true),
    verb("run a schedule", &["run_schedule"], &["Schedules::run_now"], &["schedules run"], true),
    verb("backfill a schedule", &["backfill_schedule"], &["Schedules::backfill"], &["schedules backfill"], true),
    verb("remove a schedule", &["remove_schedule"], &["Schedules::remove"], &["schedules remove"], true),
    verb("tell migrations", &["migration"], &["migrations"], &["migrate list"], false),
];

//! Everything that is ever said to Postgres, one file each in `sql/`, one folder for each room.

use std::sync::LazyLock;

use crate::faults;

/// The schema of the task tables, unless another is chosen.
pub(crate) const DEFAULT_SCHEMA: &str = "taskq";

/// Puts the schema's name in a text that is written for the schema `taskq`.
pub(crate) fn in_schema(text: &str, schema: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut rendered = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(DEFAULT_SCHEMA) {
        let (before, found) = rest.split_at(at);
        let after = &found[DEFAULT_SCHEMA.len()..];
        let whole_word = !before.ends_with(is_word) && !after.starts_with(is_word);
        rendered.push_str(before);
        if whole_word {
            // In quotes, because it may be a word of SQL.
            rendered.extend(["\"", schema, "\""]);
        } else {
            rendered.push_str(DEFAULT_SCHEMA);
        }
        rest = after;
    }
    rendered.push_str(rest);
    rendered
}

/// Leaves comments, and spaces that say nothing, out of a statement: the client hashes its text at each call. In front
/// stands its name, for those who look at what the server runs.
fn as_sent(name: &str, text: &str) -> String {
    let mut sent = format!("/* taskq {name} */");
    for line in text.lines() {
        // No literal of ours holds the sign of a comment or the end of a line: a test makes sure.
        let code = line.split_once("--").map_or(line, |(code, _)| code).trim();
        if !code.is_empty() {
            sent.extend([" ", code]);
        }
    }
    sent
}

macro_rules! text {
    ($room:ident, $name:ident) => {
        include_str!(concat!(
            "sql/",
            stringify!($room),
            "/",
            stringify!($name),
            ".sql"
        ))
    };
    // Made of several files.
    ($room:ident, $name:ident = $($part:ident)+) => {
        concat!($(text!($room, $part)),+)
    };
}

macro_rules! statements {
    ($($room:ident { $($name:ident $(= $first:ident $(+ $next:ident)*)?),+ $(,)? })+) => {
        /// The text of each statement. Migrations and `begin … commit` are said elsewhere.
        pub(crate) struct Statements {
            $($(pub(crate) $name: &'static str,)+)+
        }

        // And what a session says around attempts: see transaction.rs.
        const NAMES: &[&str] = &["undo", $($(stringify!($name),)+)+];

        static TASKQ: Statements = Statements {
            $($($name: text!($room, $name $(= $first $($next)*)?),)+)+
        };

        impl Statements {
            pub(crate) fn of_default() -> &'static Self {
                static SENT: LazyLock<Statements> = LazyLock::new(|| {
                    faults::require_possible(NAMES);
                    Statements::of(DEFAULT_SCHEMA)
                });
                &SENT
            }

            #[cfg(test)]
            fn all(&self) -> impl Iterator<Item = &'static str> {
                [$($(self.$name,)+)+].into_iter()
            }

            pub(crate) fn of(schema: &str) -> Self {
                let render = |name, text| {
                    let text = in_schema(faults::statement(name, text), schema);
                    String::leak(as_sent(name, &text))
                };
                Self {
                    $($($name: render(stringify!($name), TASKQ.$name),)+)+
                }
            }
        }
    };
}

statements! {
    enqueue { enqueue, enqueue_many, enqueue_many_with, enqueue_copy, enqueue_copy_with, enqueue_unique, enqueue_each, begin_group, seal_group }
    claim {
        scan = scan + lanes,
        scan_marked = scan_marked + lanes,
        frontiers = frontiers + lanes,
        reserve,
        anywhere,
        claim = claim + skip_locked + each + into + leased + claimed,
        claim_batches = claim + skip_locked + batches + into + leased + claimed,
        claim_own = claim + skip_locked + taken + beside + into + own + told,
        claim_own_untouched = claim + untouched + taken + beside + into + own + told,
        claim_shared = claim + skip_locked + taken + into + shared + claimed,
        claim_shared_untouched = claim + untouched + taken + into + shared + claimed,
        claim_limited,
        claim_fair,
        return_starts,
        limits,
        put_off,
        listen,
        unlisten,
    }
    leave {
        complete,
        complete_kept,
        complete_some,
        has_deferrable,
        complete_own = complete_own + own_left,
        complete_own_kept = complete_own_kept + own_left,
        complete_own_member = complete_own_member + own_left,
        complete_own_silent = complete_own + own_silent,
        complete_own_kept_silent = complete_own_kept + own_silent,
        complete_own_member_silent = complete_own_member + own_silent,
        settle = settle + shrink + keep + move,
        settle_kept = settle + shrink + keep + completed,
        settle_completed = settle + shrink + completed,
        settle_members = settle + shrink + members + keep + move,
        settle_completed_members = settle + shrink + members + completed,
        settle_refused = settle + shrink + refused,
        rescue = rescue + shrink + keep + move,
        rescue_refused = rescue + shrink + refused,
    }
    lease { hold_key, heartbeat, cancelled, strays, expired, left, progress, log, watched }
    fleet { register, unregister, census, newer, advance_ids, declare_limits, end_undeclared_limits, declare_secrets, wake_one }
    history {
        count, count_minutes, prune, prune_keys, prune_gates, prune_minutes, prune_progress, prune_log, declare_keep, prune_kept,
        prunable, tend_groups, prune_groups,
    }
    schedule {
        declare_schedules,
        end_undeclared,
        due,
        tick,
        refuse_schedule,
        schedules,
        schedule_payload,
        upsert_schedule,
        remove_schedule,
        run_schedule,
        backfill_schedule,
    }
    operate {
        result,
        cancel,
        retry,
        discard,
        pause,
        resume,
        pauses,
        running,
        put_limit,
        end_limit,
        all_limits,
        blocked,
        groups,
        seal_group_as,
        skip_dead,
        take_back,
        set_weight,
        weights,
        keep,
        reset_keep,
        keeps,
        pruned,
        list,
        show,
        logs,
        why,
        causes,
        doctor,
        stats,
        gauges,
        load,
        minutes,
        minute_totals,
        workers,
        stuck,
        stop_worker,
        forget_worker,
        end_session,
        count_matching,
        freeze_bulk,
        begin_bulk,
        step_bulk,
        stop_bulk,
        drop_bulk,
        bulks,
        bulk_failures,
        follow_bulk,
        acknowledge,
        unacknowledge,
        acknowledged,
        edit,
        edited_payload,
        of_older_keys,
        left_with_older_keys,
        reencrypt,
        enqueue_by_hand,
        audit,
        last_word,
        clock,
        schema_exists,
        schema_version,
        installation,
        migrations,
        forget_bench,
        cancel_backend,
        cancel_leftover,
    }
    wait { ended, progress_of }
    check { check_waiting, check_last, check_running, foreign_keys }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_has_neither_comments_nor_spaces_that_say_nothing() {
        let text = "-- Counts.\n-- $1 queue\nselect count(*) -- all\nfrom taskq.task\n  where queue = '$1'\n";
        assert_eq!(
            as_sent("count", text),
            "/* taskq count */ select count(*) from taskq.task where queue = '$1'"
        );
    }

    #[test]
    fn no_literal_holds_the_sign_of_a_comment_or_the_end_of_a_line() {
        for (name, text) in NAMES.iter().skip(1).zip(TASKQ.all()) {
            for line in text.lines() {
                let code = line.split_once("--").map_or(line, |(code, _)| code);
                assert!(code.matches('\'').count() % 2 == 0, "{name}: {line}");
                assert!(!code.contains("$$"), "{name}: {line}");
            }
        }
    }

    #[test]
    fn a_schema_name_replaces_whole_words_only() {
        let text = "select taskq.task, my_taskq.x, taskqs from taskq";
        assert_eq!(
            in_schema(text, "q2"),
            "select \"q2\".task, my_taskq.x, taskqs from \"q2\""
        );
    }
}

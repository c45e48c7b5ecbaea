//! Everything that is ever said to Postgres, one file each in `sql/`, one folder for each room.

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

        static TASKQ: Statements = Statements {
            $($($name: text!($room, $name $(= $first $($next)*)?),)+)+
        };

        impl Statements {
            #[cfg(not(feature = "faults"))]
            pub(crate) fn of_default() -> &'static Self {
                &TASKQ
            }

            // As for any other schema, so that a test can edit them.
            #[cfg(feature = "faults")]
            pub(crate) fn of_default() -> &'static Self {
                static EDITED: std::sync::LazyLock<Statements> = std::sync::LazyLock::new(|| {
                    faults::require_possible(&["undo", $($(stringify!($name),)+)+]);
                    Statements::of(DEFAULT_SCHEMA)
                });
                &EDITED
            }

            pub(crate) fn of(schema: &str) -> Self {
                Self {
                    $($($name: String::leak(in_schema(
                        faults::statement(stringify!($name), TASKQ.$name),
                        schema,
                    )),)+)+
                }
            }
        }
    };
}

statements! {
    enqueue { enqueue, enqueue_many, enqueue_copy, enqueue_unique }
    claim { scan, reserve, anywhere, claim, put_off, listen, unlisten }
    leave {
        complete,
        complete_some,
        complete_own,
        complete_own_kept,
        settle = settle + shrink + keep + move,
        settle_kept = settle + shrink + keep + completed,
        settle_completed = settle + shrink + completed,
        settle_refused = settle + shrink + refused,
        rescue = rescue + shrink + keep + move,
        rescue_refused = rescue + shrink + refused,
    }
    lease { heartbeat, strays, expired, left }
    fleet { register, unregister, census, newer, advance_ids }
    history { count, prune, prune_keys }
    schedule {
        declare_schedules,
        end_undeclared,
        due,
        tick,
        refuse_schedule,
        schedules,
        upsert_schedule,
        remove_schedule,
        run_schedule,
        backfill_schedule,
    }
    operate { result, pause, resume, pauses, schema_exists, schema_version, cancel_backend, cancel_leftover }
    check { check_waiting, check_last, check_running, foreign_keys }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_name_replaces_whole_words_only() {
        let text = "select taskq.task, my_taskq.x, taskqs from taskq";
        assert_eq!(
            in_schema(text, "q2"),
            "select \"q2\".task, my_taskq.x, taskqs from \"q2\""
        );
    }
}

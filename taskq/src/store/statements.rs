//! Everything that is ever said to Postgres, one file each in `sql/`, one folder for each room.

use super::schema::in_schema;
use crate::faults;

macro_rules! statements {
    ($($room:ident { $($name:ident),+ $(,)? })+) => {
        /// The text of each statement. Migrations and `begin … commit` are said elsewhere.
        pub(crate) struct Statements {
            $($(pub(crate) $name: &'static str,)+)+
        }

        static TASKQ: Statements = Statements {
            $($($name: include_str!(concat!(
                "sql/",
                stringify!($room),
                "/",
                stringify!($name),
                ".sql"
            )),)+)+
        };

        impl Statements {
            #[cfg(not(feature = "faults"))]
            pub(crate) fn of_default() -> &'static Self {
                &TASKQ
            }

            // As for any other schema, so that a bug may be planted in them.
            #[cfg(feature = "faults")]
            pub(crate) fn of_default() -> &'static Self {
                static PLANTED: std::sync::LazyLock<Statements> =
                    std::sync::LazyLock::new(|| {
                        Statements::of(crate::store::schema::DEFAULT_SCHEMA)
                    });
                &PLANTED
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
    enqueue { enqueue, enqueue_many, enqueue_copy }
    claim { scan, reserve, claim, listen, unlisten }
    leave { complete, complete_some, complete_own, complete_own_kept, settle, rescue }
    lease { heartbeat, expired }
    fleet { register, unregister, census }
    history { count, prune }
    operate { result, schema_exists, schema_version, cancel_backend }
    check { check_waiting, check_last, check_running }
}

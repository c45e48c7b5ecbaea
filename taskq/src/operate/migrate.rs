//! Making the tables, and making sure that they fit this binary.

use sqlx::{AssertSqlSafe, Connection, Error, PgConnection, PgPool, query, raw_sql};

use crate::error::{MigrateError, SchemaTooNew, WorkerError, missing_table, veiled};
use crate::store::{Schema, Store, in_schema};

/// One step in the life of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Migration {
    /// Its place in the order, from 1.
    pub version: i32,
    /// What it is about.
    pub name: &'static str,
    /// Its text, for the schema `taskq`. Its last statement records it in `taskq.migration`.
    pub sql: &'static str,
}

const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "tasks",
        sql: include_str!("../../migrations/0001_tasks.sql"),
    },
    Migration {
        version: 2,
        name: "lanes",
        sql: include_str!("../../migrations/0002_lanes.sql"),
    },
    Migration {
        version: 3,
        name: "crowds",
        sql: include_str!("../../migrations/0003_crowds.sql"),
    },
    Migration {
        version: 4,
        name: "held",
        sql: include_str!("../../migrations/0004_held.sql"),
    },
    Migration {
        version: 5,
        name: "refused",
        sql: include_str!("../../migrations/0005_refused.sql"),
    },
    Migration {
        version: 6,
        name: "checks",
        sql: include_str!("../../migrations/0006_checks.sql"),
    },
    Migration {
        version: 7,
        name: "unique",
        sql: include_str!("../../migrations/0007_unique.sql"),
    },
    Migration {
        version: 8,
        name: "enqueue",
        sql: include_str!("../../migrations/0008_enqueue.sql"),
    },
    Migration {
        version: 9,
        name: "pauses",
        sql: include_str!("../../migrations/0009_pauses.sql"),
    },
    Migration {
        version: 10,
        name: "schedules",
        sql: include_str!("../../migrations/0010_schedules.sql"),
    },
    Migration {
        version: 11,
        name: "limits",
        sql: include_str!("../../migrations/0011_limits.sql"),
    },
    Migration {
        version: 12,
        name: "rules",
        sql: include_str!("../../migrations/0012_rules.sql"),
    },
    Migration {
        version: 13,
        name: "keys",
        sql: include_str!("../../migrations/0013_keys.sql"),
    },
    Migration {
        version: 14,
        name: "gates",
        sql: include_str!("../../migrations/0014_gates.sql"),
    },
    Migration {
        version: 15,
        name: "claim",
        sql: include_str!("../../migrations/0015_claim.sql"),
    },
    Migration {
        version: 16,
        name: "sequences",
        sql: include_str!("../../migrations/0016_sequences.sql"),
    },
    Migration {
        version: 17,
        name: "operate",
        sql: include_str!("../../migrations/0017_operate.sql"),
    },
    Migration {
        version: 18,
        name: "fair",
        sql: include_str!("../../migrations/0018_fair.sql"),
    },
    Migration {
        version: 19,
        name: "secret",
        sql: include_str!("../../migrations/0019_secret.sql"),
    },
    Migration {
        version: 20,
        name: "find",
        sql: include_str!("../../migrations/0020_find.sql"),
    },
    Migration {
        version: 21,
        name: "causes",
        sql: include_str!("../../migrations/0021_causes.sql"),
    },
    Migration {
        version: 22,
        name: "show",
        sql: include_str!("../../migrations/0022_show.sql"),
    },
    Migration {
        version: 23,
        name: "bulk",
        sql: include_str!("../../migrations/0023_bulk.sql"),
    },
    Migration {
        version: 24,
        name: "parts",
        sql: include_str!("../../migrations/0024_parts.sql"),
    },
    Migration {
        version: 25,
        name: "edit",
        sql: include_str!("../../migrations/0025_edit.sql"),
    },
    Migration {
        version: 26,
        name: "watch",
        sql: include_str!("../../migrations/0026_watch.sql"),
    },
    Migration {
        version: 27,
        name: "why",
        sql: include_str!("../../migrations/0027_why.sql"),
    },
    Migration {
        version: 28,
        name: "ailments",
        sql: include_str!("../../migrations/0028_ailments.sql"),
    },
    Migration {
        version: 29,
        name: "server",
        sql: include_str!("../../migrations/0029_server.sql"),
    },
    Migration {
        version: 30,
        name: "doctor",
        sql: include_str!("../../migrations/0030_doctor.sql"),
    },
    Migration {
        version: 31,
        name: "wait",
        sql: include_str!("../../migrations/0031_wait.sql"),
    },
    Migration {
        version: 32,
        name: "keep",
        sql: include_str!("../../migrations/0032_keep.sql"),
    },
    Migration {
        version: 33,
        name: "groups",
        sql: include_str!("../../migrations/0033_groups.sql"),
    },
    Migration {
        version: 34,
        name: "tend",
        sql: include_str!("../../migrations/0034_tend.sql"),
    },
    Migration {
        version: 35,
        name: "each",
        sql: include_str!("../../migrations/0035_each.sql"),
    },
    Migration {
        version: 36,
        name: "rekey",
        sql: include_str!("../../migrations/0036_rekey.sql"),
    },
    Migration {
        version: 37,
        name: "sleeping",
        sql: include_str!("../../migrations/0037_sleeping.sql"),
    },
    Migration {
        version: 38,
        name: "take_back",
        sql: include_str!("../../migrations/0038_take_back.sql"),
    },
    Migration {
        version: 39,
        name: "prune_day",
        sql: include_str!("../../migrations/0039_prune_day.sql"),
    },
    Migration {
        version: 40,
        name: "members",
        sql: include_str!("../../migrations/0040_members.sql"),
    },
];

/// The newest version of the tables that this binary knows, and the one that it needs.
pub(super) const KNOWN: i32 = MIGRATIONS[MIGRATIONS.len() - 1].version;

/// Returns the migrations, in order, for people who run their own: each text is complete, and
/// [`migrate`] finds what was run by hand recorded.
pub fn migrations() -> &'static [Migration] {
    MIGRATIONS
}

/// Makes the task tables in the schema `taskq`, or brings them up to date.
///
/// taskq keeps its own books, in that schema: it neither reads nor writes the `_sqlx_migrations`
/// of the application. All that is missing runs in one transaction under a lock, so that it is safe
/// to call this twice, and from several processes at once; the second finds nothing to do. It
/// goes through a connection pooler in transaction mode. Tables that are newer than this binary are
/// left alone if it can work with them, so that the older processes of a deploy go on.
///
/// # Errors
///
/// See [`MigrateError`]. After an error nothing has changed.
///
/// # Cancel safety
///
/// Dropping the future rolls the migration back. If the future is dropped during the commit, either
/// everything has changed or nothing has.
pub async fn migrate(pool: &PgPool) -> Result<(), MigrateError> {
    Schema::default().migrate(pool).await
}

impl Schema {
    /// Makes the task tables in this schema, or brings them up to date: see [`migrate`].
    ///
    /// # Errors
    ///
    /// As [`migrate`].
    ///
    /// # Cancel safety
    ///
    /// As [`migrate`].
    pub async fn migrate(self, pool: &PgPool) -> Result<(), MigrateError> {
        let mut migration = None;
        let applied = async {
            let mut connection = pool.acquire().await?;
            apply(&mut connection, self, &mut migration).await
        };
        match applied.await {
            Ok(None) => Ok(()),
            Ok(Some(too_new)) => Err(MigrateError::TooNew(too_new)),
            Err(source) => Err(MigrateError::Database {
                migration,
                source: veiled(source),
            }),
        }
    }
}

async fn apply(
    connection: &mut PgConnection,
    schema: Schema,
    current: &mut Option<&'static str>,
) -> Result<Option<SchemaTooNew>, Error> {
    // Behind the lock it must see what others have migrated meanwhile.
    let mut tx = connection
        .begin_with("begin isolation level read committed")
        .await?;
    raw_sql("set local lock_timeout = '60s'")
        .execute(&mut *tx)
        .await?;
    query("select pg_advisory_xact_lock(hashtextextended('taskq migration ' || $1, 0))")
        .bind(schema.name)
        .execute(&mut *tx)
        .await?;
    let mut store = Store::on(&mut tx, schema);
    let found = if store.schema_exists().await? {
        store.schema_version().await?
    } else {
        (None, None)
    };
    if let Some(too_new) = too_new(schema, found) {
        return Ok(Some(too_new));
    }
    let version = found.0.unwrap_or(0);
    for migration in MIGRATIONS
        .iter()
        .filter(|migration| migration.version > version)
    {
        *current = Some(migration.name);
        raw_sql(AssertSqlSafe(in_schema(migration.sql, schema.name)))
            .execute(&mut *tx)
            .await?;
        tracing::info!(
            schema = schema.name,
            version = migration.version,
            name = migration.name,
            "migrated"
        );
    }
    tx.commit().await?;
    Ok(None)
}

/// Returns the migrations from one version on as one script, which does what [`migrate`] does: whole or not at all.
#[cfg(feature = "cli")]
pub(crate) fn script(schema: Schema, from: i32) -> Option<String> {
    let those = MIGRATIONS.iter().filter(|it| it.version >= from);
    let texts: Vec<String> = those
        .map(|it| format!("-- {}: {}\n\n{}", it.version, it.name, it.sql))
        .collect();
    if texts.is_empty() {
        return None;
    }
    let head = "begin;\nset local lock_timeout = '60s';\n\
                select pg_advisory_xact_lock(hashtextextended('taskq migration ' || $1, 0));";
    // A literal, in which the schema's name is not that of a table.
    let head = head.replace("$1", &format!("'{}'", schema.name));
    let texts = in_schema(&texts.join("\n"), schema.name);
    Some(format!("{head}\n\n{texts}\ncommit;\n"))
}

fn too_new(
    schema: Schema,
    (version, oldest_binary): (Option<i32>, Option<i32>),
) -> Option<SchemaTooNew> {
    let oldest_binary = oldest_binary?;
    (oldest_binary > KNOWN).then(|| SchemaTooNew {
        schema: schema.name,
        found: version.unwrap_or(oldest_binary),
        known: KNOWN,
        oldest_binary,
    })
}

/// Requires tables of a version that this program works with.
pub(crate) async fn require_version(
    store: &mut Store<'_>,
    schema: Schema,
) -> Result<(), WorkerError> {
    let found = match store.schema_version().await {
        Ok(found) => found,
        Err(error) if missing_table(&error) => {
            return Err(WorkerError::NoSchema {
                schema: schema.name,
            });
        }
        Err(error) => return Err(WorkerError::Database(error)),
    };
    if let Some(too_new) = too_new(schema, found) {
        return Err(WorkerError::SchemaTooNew(too_new));
    }
    match found.0 {
        Some(version) if version >= KNOWN => Ok(()),
        Some(version) => Err(WorkerError::SchemaTooOld {
            schema: schema.name,
            found: version,
            needed: KNOWN,
        }),
        None => Err(WorkerError::NoSchema {
            schema: schema.name,
        }),
    }
}

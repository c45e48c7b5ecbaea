//! Moving time on: everything that is stored becomes older, on a real Postgres whose clock nobody touches.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection, PgPool, query_as, query_scalar};

use crate::attempt::bounds::GIVES_UP;
use crate::error::veiled;
use crate::task::expiry::EXPIRES;

/// Moves time on by `duration`, for everything that taskq has stored in the schema `taskq`: when tasks are due, and their
/// backoff; leases; how long keys live; when tasks expire and pauses end; ticks of schedules; the history. Idle workers
/// look at once what is due now.
///
/// The clocks stay what they are; the rows become older. So a test of what happens in a week takes no longer than its
/// handlers:
///
/// ```no_run
/// # use std::time::Duration;
/// # #[taskq::task] async fn remind(usr_id: i64) {}
/// # async fn test(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
/// let mut tx = taskq::begin(&pool).await?;
/// taskq::enqueue(&mut tx, Remind { usr_id: 42 }).delay(Duration::from_secs(7 * 24 * 3600)).await?;
/// tx.commit().await?;
/// taskq::testing::advance(&pool, Duration::from_secs(7 * 24 * 3600)).await?;
/// // A worker on this database runs it now.
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// [`AdvanceError::Running`] while a living worker has tasks: its handlers would lose them in the middle of their work.
/// Otherwise what Postgres said. Either way nothing has moved.
///
/// # Cancel safety
///
/// It is one transaction: dropping the future undoes it.
pub async fn advance(pool: &PgPool, duration: Duration) -> Result<(), AdvanceError> {
    let mut tx = pool.begin().await?;
    // Nobody claims, enqueues or writes outcomes meanwhile.
    let lock = "lock table taskq.task, taskq.lease in share row exclusive mode";
    sqlx::query(lock).execute(&mut *tx).await?;
    advance_in(&mut tx, duration).await?;
    let look = "select pg_notify('taskq.operator', message) from unnest(array['scan', 'schedules']) as message";
    sqlx::query(look).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(())
}

/// Moves time on as [`advance`] does, in a transaction of the test, for what that transaction sees: where tasks run
/// [in it](super::Drain::in_tx).
///
/// Without a transaction it is not whole: if it fails, some may have moved.
///
/// # Errors
///
/// As [`advance`]. After an error of Postgres the transaction can only be rolled back.
///
/// # Cancel safety
///
/// Dropping the future leaves some moved and others not: roll the transaction back.
pub async fn advance_in(tx: &mut PgConnection, duration: Duration) -> Result<(), AdvanceError> {
    let running = query_scalar(
        "select coalesce(array_agg(task_id order by task_id), '{}')
         from taskq.tasks
         join taskq.worker using (worker_id)
         where state = 'running'
           and worker.expires_at > now()",
    );
    let running: Vec<i64> = running.fetch_one(&mut *tx).await?;
    if !running.is_empty() {
        return Err(AdvanceError::Running { task_ids: running });
    }
    let seconds = duration.as_secs_f64();
    for (table, assignments) in times(&mut *tx).await? {
        let update = format!("update taskq.{table} set {assignments}");
        let update = sqlx::query(AssertSqlSafe(update)).bind(seconds);
        update.execute(&mut *tx).await?;
    }
    for name in [EXPIRES, GIVES_UP] {
        let times = sqlx::query(
            "update taskq.task
             set metadata = metadata || jsonb_build_object(
                 $2::text,
                 (metadata ->> $2)::timestamptz - make_interval(secs => $1)
             )
             where jsonb_typeof(metadata -> $2) = 'string'",
        );
        times.bind(seconds).bind(name).execute(&mut *tx).await?;
    }
    Ok(())
}

/// Returns the tables that have times, and what makes these older by `$1` seconds. Whoever adds such a column need not
/// think of it.
async fn times(tx: &mut PgConnection) -> Result<Vec<(String, String)>, sqlx::Error> {
    query_as(
        "select
             class.relname::text,
             string_agg(
                 format(
                     case type.typname
                         when 'timestamptz' then '%1$I = %1$I - make_interval(secs => $1)'
                         else '%1$I = array(select it - make_interval(secs => $1) from unnest(%1$I) as it)'
                     end,
                     attribute.attname
                 ),
                 ', '
             )
         from pg_class as class
         join pg_attribute as attribute on attribute.attrelid = class.oid
         join pg_type as type on type.oid = attribute.atttypid
         where class.relnamespace = 'taskq'::regnamespace
           and class.relkind in ('r', 'p')
           and not class.relispartition
           and attribute.attnum > 0
           and not attribute.attisdropped
           and type.typname in ('timestamptz', '_timestamptz')
           -- These say who lives, and by which version he works.
           and class.relname not in ('worker', 'sleeper', 'migration')
           and attribute.attname <> 'declared_until'
         group by class.relname
         order by class.relname",
    )
    .fetch_all(tx)
    .await
}

/// Why [`advance`] has not moved time on.
#[derive(Debug)]
#[non_exhaustive]
pub enum AdvanceError {
    /// A living worker has tasks: wait until they have ended.
    Running {
        /// Their ids.
        task_ids: Vec<i64>,
    },
    /// What Postgres said.
    Database(sqlx::Error),
}

impl fmt::Display for AdvanceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running { task_ids } => write!(
                f,
                "a living worker has the tasks {task_ids:?}: wait until they have ended, or stop it, before time moves on"
            ),
            Self::Database(_) => f.write_str("Postgres refused, or could not be reached"),
        }
    }
}

impl Error for AdvanceError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Running { .. } => None,
            Self::Database(source) => Some(source),
        }
    }
}

impl From<sqlx::Error> for AdvanceError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(veiled(error))
    }
}

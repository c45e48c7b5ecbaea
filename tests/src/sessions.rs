//! What handlers, and others who share the pool, leave on a session, and how the next one finds it.

use std::time::Duration;

use sqlx::{PgConnection, PgPool, query_scalar, raw_sql};
use tokio::time::{sleep, timeout};

use crate::history::{Event, Recorder};

/// What a handler leaves behind on its session.
const HABITS: &[(&str, &str)] = &[
    ("a setting", "select set_config('app.tenant', 'a', false)"),
    ("a setting of Postgres", "set statement_timeout = '10s'"),
    (
        "a setting for its transaction",
        "set local lock_timeout = '1ms'",
    ),
    ("a path", "set search_path = pg_temp"),
    ("a role", "set role bystander"),
    ("a role for its transaction", "set local role bystander"),
    (
        "a session that reads only",
        "set session characteristics as transaction read only",
    ),
    ("a transaction that reads only", "set transaction read only"),
    (
        "a temporary table",
        "create temporary table left_behind (n int)",
    ),
    (
        "a temporary sequence",
        "create temporary sequence left_behind; select nextval('left_behind')",
    ),
    ("a lock", "select pg_try_advisory_lock(1)"),
    (
        "a cursor",
        "declare left_behind cursor with hold for select 1",
    ),
    ("a channel", "listen left_behind"),
    ("a prepared statement", "prepare left_behind as select 1"),
    ("no prepared statements", "deallocate all"),
];

/// How somebody else leaves a connection of the pool.
const SPOILS: &[(&str, &str)] = &[
    ("aborted", "begin; select 1 / 0"),
    // Nobody may commit this.
    ("in a transaction", "begin; insert into effect values (-1)"),
    (
        "in a transaction that reads only",
        "begin isolation level serializable read only",
    ),
    (
        "reading only",
        "set session characteristics as transaction read only",
    ),
    ("in a role", "set role bystander"),
    ("with a path", "set search_path = pg_temp"),
    (
        "with an isolation",
        "set default_transaction_isolation = serializable",
    ),
    ("without statements", "deallocate all"),
];

/// Whether the handlers of a process leave something on their sessions, and look for what others have left.
#[derive(Debug, Clone, Copy)]
pub struct Sessions {
    /// Whether they do.
    pub are_tried: bool,
}

impl Sessions {
    /// Records in what a session differs from a new one.
    ///
    /// # Errors
    ///
    /// When Postgres does not answer.
    pub async fn look(self, db: &mut PgConnection, history: &Recorder, n: i64) -> sqlx::Result<()> {
        if self.are_tried {
            for what in traces(db).await? {
                history.record(Event::Trace { n, what });
            }
        }
        Ok(())
    }

    /// Leaves something on a session, for each third task.
    ///
    /// # Errors
    ///
    /// When Postgres refuses.
    pub async fn leave(
        self,
        db: &mut PgConnection,
        history: &Recorder,
        n: i64,
    ) -> sqlx::Result<()> {
        if self.are_tried && n % 3 == 0 {
            let at = usize::try_from(n / 3).unwrap_or_default() % HABITS.len();
            let (what, habit) = HABITS[at];
            raw_sql(habit).execute(db).await?;
            self.record(history, format!("a handler leaves {what}"));
        }
        Ok(())
    }

    /// Records what a handler did to its session.
    pub fn record(self, history: &Recorder, what: impl Into<String>) {
        if self.are_tried {
            history.record(Event::Trouble(what.into()));
        }
    }
}

/// Says what a session is like that a new one is not. A statement that was prepared by name stays until the slot gives its
/// connection back: who prepares another of that name is refused, and runs elsewhere, uncharged.
async fn traces(db: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    query_scalar(
        "select name || ' = ' || setting
         from pg_settings
         where name in (
                 'search_path', 'statement_timeout', 'lock_timeout', 'default_transaction_read_only',
                 'default_transaction_isolation'
             )
           and setting <> reset_val
         union all
         select trace
         from (values
             ('tenant ' || nullif(current_setting('app.tenant', true), '')),
             (case when current_setting('role') <> 'none' then 'role ' || current_setting('role') end),
             (case when to_regclass('pg_temp.left_behind') is not null then 'a table' end),
             (case when exists (select from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()) then 'a lock' end),
             (case when exists (select from pg_cursors where is_holdable) then 'a cursor' end),
             (case when exists (select from pg_listening_channels()) then 'a channel' end)
         ) as traces (trace)
         where trace is not null",
    )
    .persistent(false)
    .fetch_all(db)
    .await
}

/// Takes idle connections of a pool, and leaves them as nobody should find them.
pub async fn spoil(pool: PgPool, history: &Recorder) {
    loop {
        sleep(Duration::from_millis(fastrand::u64(100..1_000))).await;
        let Some(mut connection) = pool.try_acquire() else {
            continue;
        };
        let (what, spoil) = SPOILS[fastrand::usize(..SPOILS.len())];
        let spoiled = raw_sql(spoil).execute(&mut *connection);
        // It fails, if that is the point.
        if timeout(Duration::from_secs(1), spoiled).await.is_ok() {
            history.record(Event::Trouble(format!(
                "a pooled connection is left {what}"
            )));
        }
    }
}

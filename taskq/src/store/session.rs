//! What a session is like when it is new, and how it is made so again after a handler has used it.

use std::fmt::Write;

use sqlx::{
    AssertSqlSafe, Error, PgConnection, SqlSafeStr, SqlStr, query_as, query_scalar, raw_sql,
};

/// What a session is like before any handler has used it, and how it is made so again.
///
/// A handler may change its session in any way: settings, the role, temporary tables, locks. What it changed in
/// the database it may keep; the next task must not see the rest of it.
#[derive(Debug, Default)]
pub(crate) struct FreshSession {
    /// What the pool does to each new connection (`after_connect`), as SQL.
    pub(super) restore: String,
    /// How many statements that is.
    pub(super) restored: usize,
    /// How many statements are prepared by name on a new connection.
    pub(super) named: i64,
    /// Its user and its role, as literals.
    user: String,
    role: String,
}

impl FreshSession {
    /// Learns from a new connection of the pool what the others were like when they were new.
    pub(crate) async fn of_new(connection: &mut PgConnection) -> Result<Self, Error> {
        let settings: Vec<(String, String)> = query_as(CHANGED_SETTINGS)
            .persistent(false)
            .fetch_all(&mut *connection)
            .await?;
        let mut restore = String::new();
        for (name, value) in &settings {
            let (name, value) = (literal(Some(name)), literal(Some(value)));
            write!(restore, "select set_config({name}, {value}, false);")
                .expect("a string takes everything");
        }
        let named = query_scalar(NAMED_STATEMENTS)
            .persistent(false)
            .fetch_one(&mut *connection)
            .await?;
        let (user, role): (String, String) =
            query_as("select session_user::text, current_user::text")
                .persistent(false)
                .fetch_one(connection)
                .await?;
        Ok(Self {
            restore,
            restored: settings.len(),
            named,
            user: literal(Some(&user)),
            role: literal(Some(&role)),
        })
    }

    /// Gives the session back the user, the role and the settings that it had.
    pub(super) fn reset(&self) -> String {
        format!("{RESET}; {RESET_USER}; {}", self.restore)
    }

    /// Writes into the text of a completion what sessions were like. A parameter would be read each time.
    pub(super) fn completion(&self, statement: &str) -> String {
        statement
            .replace("'taskq_user'", &self.user)
            .replace("'taskq_role'", &self.role)
    }

    /// Begins an attempt's transaction on a connection of the pool, in whatever state somebody has left it. It
    /// fails only where an error has aborted a transaction of theirs.
    pub(crate) fn begin(&self) -> SqlStr {
        // Without a transaction, `rollback` alone would warn, and the server would log that.
        let reset = self.reset();
        AssertSqlSafe(format!("begin; rollback; begin; {reset} commit; {BEGIN}")).into_sql_str()
    }
}

/// What handlers do to their session that a completion must be prepared for. One that was not tells.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Habits {
    /// They deallocate what others have prepared: it is prepared for each task anew.
    pub(super) deallocates: bool,
    /// They change the role: it is taken back before the completion, which another role may not do.
    pub(super) changes_role: bool,
    /// They make their transaction read-only: it has a savepoint, whose release takes that back.
    pub(super) reads_only: bool,
    /// One of them has left nothing on its session: the next completion need not tell.
    pub(super) is_tidy: bool,
    /// One of them has left something where a completion was to tell nothing, and failed: each tells from then on.
    pub(super) is_untidy: bool,
}

impl Habits {
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            deallocates: self.deallocates || other.deallocates,
            changes_role: self.changes_role || other.changes_role,
            reads_only: self.reads_only || other.reads_only,
            is_tidy: self.is_tidy || other.is_tidy,
            is_untidy: self.is_untidy || other.is_untidy,
        }
    }

    /// Tells whether an attempt needs a savepoint.
    pub(crate) fn need_savepoint(self) -> bool {
        self.reads_only
    }
}

/// Ends the connection of a transaction, whose session can be made clean by nothing else. The pool then finds
/// it broken.
pub(crate) async fn end_backend(tx: &mut PgConnection) {
    let ended = raw_sql("rollback; select pg_terminate_backend(pg_backend_pid())").execute(tx);
    // It is never answered.
    drop(ended.await);
}

/// Begins an attempt's transaction.
// Whatever isolation the database defaults to: the statements that settle a task follow rows that
// change beside them.
pub(super) const BEGIN: &str = "begin isolation level read committed";
pub(super) const BEGIN_MARKED: &str = "begin isolation level read committed, deferrable";

/// When the open transaction began, in microseconds, by the clock of the server. Whoever finds another time has another
/// transaction. As a whole number it does not depend on how the session writes numbers and times.
pub(super) const BEGUN: &str = "cast(date_part('epoch', now()) * 1000000 as bigint)";

/// Whether the open transaction is not the one that a completion began, which begins it deferrable. That means something to
/// serializable transactions alone, and no other of the session is so, except where a handler makes one of it by
/// `commit and chain`.
pub(super) const IS_OTHER: &str = "current_setting('transaction_deferrable') <> 'on'";

/// When a transaction begins that stands further on in the same message.
pub(super) const NEXT_BEGINS: &str =
    "cast(date_part('epoch', statement_timestamp()) * 1000000 as bigint)";

/// Takes back the settings that somebody has given a session, and closes what outlives a commit. Where nothing has
/// changed, each takes the server one microsecond or two; a look at cursors and channels would take ten.
pub(super) const RESET_STATEMENTS: usize = 3;
pub(super) const RESET: &str = "reset all; close all; unlisten *";

/// Takes back the role. This takes longer than the above, so a completion looks first whether it must.
pub(super) const RESET_USER_STATEMENTS: usize = 2;
pub(super) const RESET_USER: &str = "reset session authorization; reset role";

/// Settings that a session has changed after it was connected. The role is one that `pg_settings` does not show.
const CHANGED_SETTINGS: &str = "select name, setting from pg_settings where source = 'session' and name <> 'role' \
    union all select 'role', current_setting('role') where current_setting('role') <> 'none'";

/// Takes back what a transaction leaves behind when it is over.
pub(super) const CLEAN: &str = "discard temp; discard sequences; select pg_advisory_unlock_all()";

/// Counts what was prepared by name, and not by a driver.
pub(super) const NAMED_STATEMENTS: &str =
    "select count(*) as named from pg_prepared_statements where from_sql";

// In dollar quotes, in which nothing means anything but their end, and that is chosen to be nowhere
// in the text. Text in single quotes is read by settings of the connection.
pub(super) fn literal(text: Option<&str>) -> String {
    let Some(text) = text else {
        return "null".into();
    };
    loop {
        let quote = format!("$taskq_{:016x}$", fastrand::u64(..));
        if !text.contains(&quote) {
            return format!("{quote}{text}{quote}");
        }
    }
}

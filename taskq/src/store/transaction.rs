//! What a session says around attempts whose handler has the transaction: begin, undo, complete and commit.

use std::fmt::Write;
use std::time::Instant;

use futures_util::StreamExt;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection, Either, Error, PgConnection, Row, raw_sql};
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use super::Schema;
use super::deferrable::Deferrable;
use super::leave::storable;
use super::savepoint::{ACCEPT, ENDS, RELEASE, SAVEPOINT};
use super::session::{
    BEGIN, BEGIN_MARKED, BEGUN, CLEAN, FreshSession, Habits, IS_OTHER, NAMED_STATEMENTS,
    NEXT_BEGINS, RESET, RESET_STATEMENTS, RESET_USER, RESET_USER_STATEMENTS, literal,
};
use super::uncommitted::{CompletionError, HAS_ENDED, IS_ISOLATED};
use crate::attempt::verdict::Verdict;
use crate::faults::{self, crash_point};

/// What a session has prepared, and what it knows of its handlers' habits.
///
/// Sent as text, a statement would be planned each time, which takes as long as running it. The names
/// are this session's alone: a connection that could not be cleared keeps what is prepared on it.
#[derive(Debug)]
pub(crate) struct OwnStatements {
    name: String,
    /// How often each way to complete was taken since it was prepared, if it is.
    taken: [Option<u32>; WAYS.len()],
    /// Whether a handler has made temporary tables.
    has_temporary: bool,
    /// Whether nothing is left of those that ran, as far as has been told.
    is_clean: bool,
    /// How to begin a transaction.
    begin: &'static str,
    /// How to begin one that is told from others by how it was begun, if the session tells them so: see [`IS_OTHER`].
    begin_marked: Option<&'static str>,
    /// Whether the open one was begun so.
    is_marked: bool,
    /// When the open one began: see [`BEGUN`]. Not known behind a completion that tells nothing.
    begun: Option<i64>,
    /// Whether it has a savepoint.
    has_savepoint: bool,
    /// What is known of constraints that may be deferred.
    deferrable: Deferrable,
}

/// What is to be completed.
#[derive(Debug)]
pub(crate) struct Completion<'a> {
    pub(crate) schema: Schema,
    pub(crate) lease_id: Uuid,
    /// What is kept of the task, if it is.
    pub(crate) kept: Option<&'a Verdict>,
    /// Whether the task is a member of a group.
    pub(crate) is_member: bool,
    /// Of the handlers of its type.
    pub(crate) habits: Habits,
}

/// A completion that was committed.
#[derive(Debug, Default)]
pub(crate) struct Committed {
    /// Whether the session has something left of the handler that the next task must not see.
    pub(crate) is_dirty: bool,
    pub(crate) habits: Habits,
    /// Whether its prepared statements are gone, those of sqlx too: it can only be closed.
    pub(crate) is_broken: bool,
}

impl OwnStatements {
    /// Prepares how most tasks complete: where that is gone later, a handler has taken away what is prepared. Returns
    /// the process of the server that works on the session too.
    pub(crate) async fn prepare(
        tx: &mut PgConnection,
        fresh: &FreshSession,
        schema: Schema,
    ) -> Result<(Self, i32), Error> {
        let name = format!("taskq_own_{:x}", fastrand::u64(..));
        let text = format!(
            "prepare {name}_0 as {}; select pg_backend_pid() as backend,
             current_setting('default_transaction_isolation') = 'read committed' as is_default,
             current_setting('default_transaction_deferrable') = 'on' as all_are_deferrable,
             ({}) as has_deferrable, {BEGUN} as begun",
            fresh.completion(schema.sql.complete_own),
            schema.sql.has_deferrable
        );
        // As text: a handler of somebody else's may have taken from sqlx what it has prepared.
        let row = raw_sql(AssertSqlSafe(text)).fetch_one(tx).await?;
        let is_default: bool = row.try_get_unchecked("is_default")?;
        let all_are_deferrable: bool = row.try_get_unchecked("all_are_deferrable")?;
        // Saying what is so anyway takes as long as all else that begins a transaction.
        let (begin, begin_marked) = match is_default {
            true => ("begin", "begin deferrable"),
            false => (BEGIN, BEGIN_MARKED),
        };
        let own = Self {
            name,
            taken: [Some(0), None, None, None, None, None],
            has_temporary: false,
            is_clean: false,
            begin,
            begin_marked: (!all_are_deferrable).then_some(begin_marked),
            is_marked: false,
            begun: Some(row.try_get_unchecked("begun")?),
            has_savepoint: false,
            deferrable: Deferrable::seen(row.try_get_unchecked("has_deferrable")?, Instant::now()),
        };
        Ok((own, row.try_get_unchecked("backend")?))
    }

    /// Tells whether a task is in its lease still.
    pub(crate) async fn is_held(
        &self,
        tx: &mut PgConnection,
        schema: Schema,
        lease_id: Uuid,
        task_id: i64,
    ) -> Result<bool, Error> {
        let (name, left) = (&self.name, schema.sql.left);
        let text = format!(
            "prepare {name}_left as {left}; execute {name}_left ('{lease_id}'); deallocate {name}_left"
        );
        // As text, as above.
        let rows = raw_sql(AssertSqlSafe(text)).fetch_all(tx).await?;
        let mut left = rows.iter().map(|row| row.try_get_unchecked::<i64, _>(0));
        Ok(left.any(|left| left.is_ok_and(|left| left == task_id)))
    }

    /// Sets a savepoint where handlers have the habit that needs one.
    pub(crate) async fn be_ready_for(
        &mut self,
        tx: &mut PgConnection,
        habits: Habits,
    ) -> Result<(), Error> {
        if habits.reads_only && !self.has_savepoint {
            raw_sql(SAVEPOINT).execute(tx).await?;
            self.has_savepoint = true;
        }
        Ok(())
    }

    /// Completes the task of a handler's own transaction, commits, and begins the next transaction,
    /// all in one round trip.
    ///
    /// Fails as a whole, and leaves the transaction to be rolled back, if the handler has broken a
    /// deferred constraint or ended the transaction, or if the lease is gone: see
    /// [`is_lease_gone`](super::is_lease_gone).
    pub(crate) async fn complete(
        &mut self,
        tx: &mut PgConnection,
        fresh: &FreshSession,
        completion: &Completion<'_>,
    ) -> Result<Committed, CompletionError> {
        let Completion {
            schema,
            lease_id,
            kept,
            is_member,
            habits,
        } = *completion;
        let is_silent = self.is_marked && self.is_clean && habits.is_tidy && !habits.is_untidy;
        // A row in the history tells the group itself.
        let (way, statement) = match (kept, is_member, is_silent) {
            (None, false, false) => (0, schema.sql.complete_own),
            (Some(_), _, false) => (1, schema.sql.complete_own_kept),
            (None, true, false) => (2, schema.sql.complete_own_member),
            (None, false, true) => (PLAIN, schema.sql.complete_own_silent),
            (Some(_), _, true) => (4, schema.sql.complete_own_kept_silent),
            (None, true, true) => (5, schema.sql.complete_own_member_silent),
        };
        let taken = self.taken[way].filter(|_| !habits.deallocates);
        let preparation = Preparation::of(taken);
        let once = if habits.deallocates { "_once" } else { "" };
        let name = [self.name.as_str(), WAYS[way], once];
        let now = Instant::now();
        let is_plain = way == PLAIN && !self.has_savepoint;
        let looks_again = is_plain && self.deferrable.is_old(now);
        let accepts = !is_plain || looks_again || self.deferrable.is_there;
        let mut text = String::with_capacity(USUAL_LENGTH + fresh.restore.len());
        text.push_str(ENDS);
        let accepted = match accepts {
            true => self.accept_in(&mut text),
            false => 0,
        };
        text.extend([RESET, "; "]);
        if habits.changes_role {
            text.extend([RESET_USER, "; "]);
        }
        text.push_str(&fresh.restore);
        // The time is known behind one that told, and tells more than how the transaction was begun.
        let is_looked_at = !is_silent || self.begun.is_some();
        if is_looked_at {
            self.check_in(&mut text);
        }
        if looks_again {
            text.extend([schema.sql.has_deferrable, "; "]);
        }
        let preparations = preparation.say_in(&mut text, &name, || fresh.completion(statement));
        text.push_str("execute ");
        text.extend(name);
        let mut id = [0; Hyphenated::LENGTH];
        text.extend([" ('", lease_id.hyphenated().encode_lower(&mut id), "'"]);
        if let Some(verdict) = kept {
            let error = verdict.error().map(storable);
            text.extend([", ", &literal(verdict.result())]);
            text.extend([", ", &literal(error.as_deref())]);
        }
        text.push_str("); ");
        if habits.deallocates {
            text.push_str("deallocate ");
            text.extend(name);
            text.push_str("; ");
        }
        self.commit_and_next(&mut text, habits);
        crash_point("before_commit");
        let mut committed = Committed {
            // Those of sqlx are gone too.
            is_broken: habits.deallocates,
            ..Committed::default()
        };
        let prepared = accepted
            + RESET_STATEMENTS
            + usize::from(habits.changes_role) * RESET_USER_STATEMENTS
            + fresh.restored
            + usize::from(is_looked_at)
            + usize::from(looks_again)
            + preparations;
        // The statement with which the attempt is committed, and which an error after it cannot undo.
        let commit = prepared + 1 + usize::from(habits.deallocates) + 1;
        let mut answered = 0;
        let mut answers = raw_sql(AssertSqlSafe(text)).fetch_many(tx);
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(Either::Left(_)) => answered += 1,
                Ok(Either::Right(row)) if row.len() == LEFT_AND_BEGUN => {
                    self.record_left(&row, &mut committed)
                        .map_err(CompletionError::ours)?;
                }
                // A setting that is restored has a row as well.
                Ok(Either::Right(row)) => {
                    if let Ok(is_there) = row.try_get_unchecked("has_deferrable") {
                        self.deferrable = Deferrable::seen(is_there, now);
                    }
                }
                Err(error) if answered >= commit => {
                    tracing::debug!(%error, "a session cannot be used again");
                    committed.is_broken = true;
                    break;
                }
                Err(error) => {
                    // What is prepared outlives the transaction.
                    if preparation.prepares && answered >= prepared && !habits.deallocates {
                        self.taken[way] = Some(0);
                    }
                    // The commit accepts what was not accepted before.
                    let is_commits = answered + 1 == commit;
                    let is_ours = answered >= accepted.max(1) && (accepts || !is_commits);
                    return Err(CompletionError::after(is_ours, error));
                }
            }
        }
        drop(answers);
        if is_silent {
            self.begun = None;
        }
        self.is_marked = self.begin_marked.is_some();
        self.has_savepoint = habits.reads_only;
        if !habits.deallocates {
            let before = taken.filter(|_| !preparation.prepares).unwrap_or(0);
            self.taken[way] = Some(before + 1);
        }
        Ok(committed)
    }

    /// Has Postgres accept what a handler of many payloads did, and makes the settings of the session ours again, so that
    /// what is said next of its tasks is not said as the handler wished.
    ///
    /// Fails as [`complete`](Self::complete) does.
    pub(crate) async fn accept(
        &mut self,
        tx: &mut PgConnection,
        fresh: &FreshSession,
        habits: Habits,
    ) -> Result<(), CompletionError> {
        if habits.deallocates {
            let cleared = tx.clear_cached_statements().await;
            cleared.map_err(CompletionError::ours)?;
        }
        let mut text = ENDS.to_owned();
        let accepted = self.accept_in(&mut text);
        let reset_user = if habits.changes_role { RESET_USER } else { "" };
        text.extend([RESET, "; ", reset_user, "; ", &fresh.restore]);
        self.check_in(&mut text);
        text.extend([LOOK_UP, "; ", NO_JIT]);
        let mut answered = 0;
        let mut answers = raw_sql(AssertSqlSafe(text)).fetch_many(tx);
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(Either::Left(_)) => answered += 1,
                // A setting that is restored has a row.
                Ok(Either::Right(_)) => {}
                Err(error) => return Err(CompletionError::after(answered >= accepted, error)),
            }
        }
        drop(answers);
        self.has_savepoint = false;
        Ok(())
    }

    /// Ends an attempt's transaction and begins the next.
    pub(crate) async fn commit_and_begin(
        &mut self,
        tx: &mut PgConnection,
    ) -> Result<Committed, Error> {
        crash_point("before_commit");
        let mut text = format!("{LEFT_BEHIND}, {NEXT_BEGINS} as begun, pg_advisory_unlock_all(); ");
        self.commit_and_next(&mut text, Habits::default());
        let row = raw_sql(AssertSqlSafe(text)).fetch_one(tx).await?;
        let mut committed = Committed::default();
        self.record_left(&row, &mut committed)?;
        self.is_marked = self.begin_marked.is_some();
        self.has_savepoint = false;
        Ok(committed)
    }

    /// Undoes the effects of a handler, and begins a transaction in which it can be said what becomes of its task.
    pub(crate) async fn undo(&mut self, tx: &mut PgConnection) -> Result<(), Error> {
        let undo = faults::statement("undo", "rollback; ");
        let text = format!(
            "{undo}{}; {LOOK_UP}; {NO_JIT}; select {BEGUN} as begun",
            self.begin
        );
        let undone = raw_sql(AssertSqlSafe(text)).fetch_one(tx).await;
        crash_point("after_undo");
        self.begun = Some(undone?.try_get_unchecked("begun")?);
        self.is_marked = false;
        self.has_savepoint = false;
        Ok(())
    }

    /// Has Postgres accept what somebody did since the attempt began, where more is said before the commit.
    pub(crate) async fn accept_attempt(&mut self, tx: &mut PgConnection) -> Result<(), Error> {
        let mut text = ENDS.to_owned();
        self.accept_in(&mut text);
        self.check_in(&mut text);
        text.extend([LOOK_UP, "; ", NO_JIT]);
        raw_sql(AssertSqlSafe(text)).execute(tx).await?;
        self.has_savepoint = false;
        Ok(())
    }

    /// Says that what a handler did be accepted, in so many statements.
    fn accept_in(&self, text: &mut String) -> usize {
        text.extend([ACCEPT, "; "]);
        if self.has_savepoint {
            text.extend([RELEASE, "; "]);
        }
        1 + usize::from(self.has_savepoint)
    }

    /// Says to look whether the transaction is that of the attempt still, as a completion that tells nothing does by itself.
    fn check_in(&self, text: &mut String) {
        let is_other = match self.begun {
            Some(begun) => format!("{BEGUN} <> {begun}"),
            None => IS_OTHER.into(),
        };
        write!(
            text,
            "select cast(case when {is_other} then '{HAS_ENDED}' \
             when current_setting('transaction_isolation') <> 'read committed' then '{IS_ISOLATED}' \
             else '0' end as integer); "
        )
        .expect("a string takes everything");
    }

    /// Says at the end of a text to commit, and to begin the next attempt's transaction.
    fn commit_and_next(&self, text: &mut String, habits: Habits) {
        match self.begin_marked {
            // To say again that it is deferrable takes the server ten times as long.
            Some(_) if self.is_marked => text.push_str("commit and chain"),
            begin_marked => text.extend(["commit; ", begin_marked.unwrap_or(self.begin)]),
        }
        // Whoever has made temporary tables once does so again.
        if self.has_temporary {
            text.push_str("; discard temp");
        }
        if habits.reads_only {
            text.extend(["; ", SAVEPOINT]);
        }
    }

    /// Records what a handler has left on the session, and when the next transaction begins.
    fn record_left(&mut self, row: &PgRow, committed: &mut Committed) -> Result<(), Error> {
        // By their places: to find each by its name takes longer than to read it.
        let left: i32 = row.try_get_unchecked(0)?;
        self.begun = Some(row.try_get_unchecked(1)?);
        self.is_clean = left == 0;
        committed.habits.is_tidy = left == 0;
        committed.habits.changes_role = left & LEFT_ROLE != 0;
        let had_temporary = self.has_temporary;
        self.has_temporary = left & LEFT_TEMPORARY != 0;
        committed.is_dirty = committed.habits.changes_role || self.has_temporary && !had_temporary;
        Ok(())
    }

    /// Undoes everything in the open transaction, makes the session as it was, and begins a transaction.
    pub(crate) async fn clean(
        &mut self,
        tx: &mut PgConnection,
        fresh: &FreshSession,
    ) -> Result<(), Error> {
        let reset = fresh.reset();
        let text =
            format!("rollback; begin; {reset} {CLEAN}; commit; {BEGIN}; select {BEGUN} as begun");
        let rows = raw_sql(AssertSqlSafe(text)).fetch_all(tx).await?;
        let begun = rows.last().map(|row| row.try_get_unchecked("begun"));
        self.begun = Some(begun.ok_or(Error::RowNotFound)??);
        self.is_marked = false;
        self.has_savepoint = false;
        Ok(())
    }

    /// Takes back what was prepared too, and leaves the session as a new one. Returns whether it is.
    pub(crate) async fn forget(
        self,
        tx: &mut PgConnection,
        fresh: &FreshSession,
    ) -> Result<bool, Error> {
        let reset = fresh.reset();
        let name = &self.name;
        let mut deallocate = String::new();
        for (way, taken) in self.taken.iter().enumerate() {
            if taken.is_some() {
                write!(deallocate, "deallocate {name}_{way};").expect("a string takes everything");
            }
        }
        let text = format!(
            "rollback; begin; {reset} {CLEAN}; {deallocate} commit; begin; {NAMED_STATEMENTS}"
        );
        let rows = raw_sql(AssertSqlSafe(text)).fetch_all(tx).await?;
        let named = rows
            .last()
            .map(|row| row.try_get_unchecked::<i64, _>("named"));
        Ok(named.transpose()? == Some(fresh.named))
    }
}

/// What is said before a completion is executed by its name.
#[derive(Clone, Copy)]
struct Preparation {
    deallocates: bool,
    prepares: bool,
    /// Whether Postgres will plan it.
    looks_up: bool,
}

impl Preparation {
    /// Returns what is to be said of a completion that was taken so often since it was prepared, if it is.
    fn of(taken: Option<u32>) -> Self {
        let is_stale = taken.is_some_and(|taken| taken >= PLANNED_ANEW);
        Self {
            deallocates: is_stale,
            prepares: is_stale || taken.is_none(),
            looks_up: is_stale || taken.is_none_or(|taken| taken < PLANNINGS),
        }
    }

    /// Says that, in so many statements.
    fn say_in(self, text: &mut String, name: &[&str], statement: impl FnOnce() -> String) -> usize {
        if self.deallocates {
            text.push_str("deallocate ");
            text.extend(name.iter().copied());
            text.push_str("; ");
        }
        if self.prepares {
            text.push_str("prepare ");
            text.extend(name.iter().copied());
            text.extend([" as ", &statement(), "; "]);
        }
        if self.looks_up {
            text.extend([LOOK_UP, "; "]);
        }
        [self.deallocates, self.prepares, self.looks_up]
            .map(usize::from)
            .iter()
            .sum()
    }
}

/// The ends of the names under which a session has prepared how tasks complete. The last three tell nothing.
const WAYS: [&str; 6] = ["_0", "_1", "_2", "_3", "_4", "_5"];

/// The way that tells nothing, keeps nothing and touches no group: what its commit refuses is the handler's.
const PLAIN: usize = 3;

/// As many bytes as the text of a completion has in most cases, and more. It is made for each attempt: a text that grows, out
/// of parts that are formatted, took a tenth of all that a worker's processor does for a task in a transaction.
const USUAL_LENGTH: usize = 512;

/// Has our statements look up leases by their key. Postgres plans them anew in each session, and where there are hardly any
/// leases just then it plans to read all of the table, whose pages become hundreds under load.
const LOOK_UP: &str = "set local enable_seqscan = off";

/// As often Postgres plans a statement that is prepared: five times for what it is given, and then for good.
const PLANNINGS: u32 = 6;

/// So often a completion is taken before it is prepared anew. Statistics that change have Postgres plan it at any moment, and it may plan
/// to read all of the table then.
const PLANNED_ANEW: u32 = 2_000;

/// What that makes look expensive would be compiled, which takes longer than to run it. A completion has nothing of the kind.
const NO_JIT: &str = "set local jit = off";

/// As many columns as a completion answers with: what is left, and when the next transaction begins.
const LEFT_AND_BEGUN: usize = 2;

/// What is left on a session when its task is completed, as the completions tell it.
const LEFT_TEMPORARY: i32 = 1;
const LEFT_ROLE: i32 = 2;

/// Tells what is left of a handler whose effects were undone.
const LEFT_BEHIND: &str = "select (pg_my_temp_schema() <> 0)::integer as left_behind";

#[cfg(test)]
mod tests {
    use super::*;

    fn said(taken: Option<u32>) -> (String, usize) {
        let mut text = String::new();
        let count = Preparation::of(taken).say_in(&mut text, &["own", "_3"], || "select 1".into());
        (text, count)
    }

    #[test]
    fn a_completion_is_prepared_and_planned_once_in_two_thousand() {
        let look_up = format!("{LOOK_UP}; ");
        let prepare = format!("prepare own_3 as select 1; {look_up}");
        assert_eq!(said(None), (prepare.clone(), 2));
        for taken in [0, 5] {
            assert_eq!(said(Some(taken)), (look_up.clone(), 1));
        }
        for taken in [6, 1_999] {
            assert_eq!(said(Some(taken)), (String::new(), 0));
        }
        assert_eq!(
            said(Some(2_000)),
            (format!("deallocate own_3; {prepare}"), 3)
        );
    }
}

//! What a session says around attempts whose handler has the transaction: begin, undo, complete and commit.

use futures_util::StreamExt;
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgDatabaseError, PgSeverity};
use sqlx::{AssertSqlSafe, Error, PgConnection, raw_sql};
use uuid::Uuid;

use super::Schema;
use super::leave::storable;
use crate::attempt::verdict::Verdict;
use crate::faults::{self, crash_point};

/// What a session has prepared for completing the tasks of its handlers' transactions.
///
/// Sent as text, a statement would be planned each time, which takes as long as running it. The names
/// are this session's alone: a connection that could not be cleared keeps what is prepared on it.
#[derive(Debug)]
pub(crate) struct OwnCompletions {
    name: String,
    is_prepared: [bool; 2],
}

impl OwnCompletions {
    pub(crate) fn new() -> Self {
        Self {
            name: format!("taskq_complete_own_{:x}", fastrand::u64(..)),
            is_prepared: [false; 2],
        }
    }

    /// Completes the task of a handler's own transaction, commits, and begins the next transaction,
    /// all in one round trip. Where the task is `kept`, so is what this verdict says of its result.
    ///
    /// Fails as a whole, and leaves the transaction to be rolled back, if the handler has broken a
    /// deferred constraint or ended the transaction, or if the lease is gone: see
    /// [`is_lease_gone`].
    pub(crate) async fn complete(
        &mut self,
        tx: &mut PgConnection,
        schema: Schema,
        lease_id: Uuid,
        kept: Option<&Verdict>,
    ) -> Result<(), CompletionError> {
        let keep = kept.is_some();
        let name = format!("{}_{}", self.name, u8::from(keep));
        let is_prepared = &mut self.is_prepared[usize::from(keep)];
        let arguments = match kept {
            None => format!("'{lease_id}'"),
            Some(verdict) => format!(
                "'{lease_id}', {}, {}",
                literal(verdict.result()),
                literal(verdict.error().map(storable).as_deref())
            ),
        };
        let prepare = match (*is_prepared, keep) {
            (true, _) => String::new(),
            (false, false) => format!("prepare {name} as {};", schema.sql.complete_own),
            (false, true) => format!("prepare {name} as {};", schema.sql.complete_own_kept),
        };
        let text = format!(
            "{ACCEPT_ATTEMPT};\n{prepare}\nexecute {name} ({arguments});\n{COMMIT_AND_BEGIN}"
        );
        crash_point("before_commit");
        let mut answered = 0;
        let mut answers = raw_sql(AssertSqlSafe(text)).fetch_many(tx);
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(answer) => answered += usize::from(answer.is_left()),
                Err(error) => {
                    let was_accepted = answered >= ACCEPT_ATTEMPT_STATEMENTS;
                    return Err(CompletionError {
                        error,
                        was_accepted,
                    });
                }
            }
        }
        drop(answers);
        *is_prepared = true;
        Ok(())
    }

    /// Takes back what was prepared.
    pub(crate) async fn forget(self, tx: &mut PgConnection) -> Result<(), Error> {
        for keep in [0, 1] {
            if self.is_prepared[keep] {
                let text = format!("deallocate {}_{keep}", self.name);
                raw_sql(AssertSqlSafe(text)).execute(&mut *tx).await?;
            }
        }
        Ok(())
    }
}

/// Why a handler's transaction was not committed.
#[derive(Debug)]
pub(crate) struct CompletionError {
    pub(crate) error: Error,
    /// Whether Postgres had accepted what the handler did. Then the error is of a statement of ours.
    pub(crate) was_accepted: bool,
}

impl CompletionError {
    /// Tells whether the handler has no part in it.
    pub(crate) fn is_interruption(&self) -> bool {
        self.was_accepted || is_interruption(&self.error)
    }
}

/// Undoes the effects of a handler.
pub(crate) async fn undo_attempt(tx: &mut PgConnection) -> Result<(), Error> {
    let undo = faults::statement("undo", "rollback to savepoint taskq_attempt");
    let undone = raw_sql(undo).execute(tx).await.map(drop);
    crash_point("after_undo");
    undone
}

/// Ends an attempt's transaction and begins the next.
pub(crate) async fn commit_and_begin(tx: &mut PgConnection) -> Result<(), Error> {
    crash_point("before_commit");
    raw_sql(COMMIT_AND_BEGIN).execute(tx).await.map(drop)
}

/// Begins an attempt's transaction.
// Whatever isolation the database defaults to: the statements that settle a task follow rows that
// change beside them.
pub(crate) const BEGIN: &str = "begin isolation level read committed; savepoint taskq_attempt";

const ACCEPT_ATTEMPT_STATEMENTS: usize = 2;
const ACCEPT_ATTEMPT: &str = "set constraints all immediate; release savepoint taskq_attempt";

const COMMIT_AND_BEGIN: &str =
    "commit; begin isolation level read committed; savepoint taskq_attempt";

/// Tells whether a statement failed because the connection or the server did, or because others were in the
/// way. What was asked makes no difference then.
pub(crate) fn is_interruption(error: &Error) -> bool {
    let Some(refusal) = error.as_database_error() else {
        return true;
    };
    let code = refusal.code();
    let code = code.as_deref().unwrap_or_default();
    // Connection, serialization and deadlocks, resources, an operator's intervention, system. But a limit that
    // cancels a query is mostly one that somebody has set for it.
    matches!(code.get(..2), Some("08" | "40" | "53" | "57" | "58")) && code != "57014"
        || ends_session(refusal)
}

/// Tells whether a connection of which a statement failed so can be used no more.
pub(crate) fn is_lost(error: &Error) -> bool {
    error.as_database_error().is_none_or(ends_session)
}

fn ends_session(refusal: &dyn DatabaseError) -> bool {
    let refusal = refusal.try_downcast_ref::<PgDatabaseError>();
    refusal.is_some_and(|it| matches!(it.severity(), PgSeverity::Fatal | PgSeverity::Panic))
}

/// Tells whether a completion failed because the task was rescued.
pub(crate) fn is_lease_gone(error: &Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| error.message().contains("the lease of this task is gone"))
}

// In dollar quotes, in which nothing means anything but their end, and that is chosen to be nowhere
// in the text. Text in single quotes is read by settings of the connection.
fn literal(text: Option<&str>) -> String {
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

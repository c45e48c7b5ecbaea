//! The savepoint of an attempt: of one that is a part of a caller's transaction, and of one whose handler makes its own
//! read-only.

#[cfg(feature = "testing")]
use sqlx::{Error, PgConnection, raw_sql};

pub(crate) const SAVEPOINT: &str = "savepoint taskq_attempt";

/// Takes back that the transaction was made read-only too.
pub(crate) const RELEASE: &str = "release savepoint taskq_attempt";

/// Stands before what ends an attempt. By it others see that the handler has left no query running: see
/// `cancel_leftover.sql`.
pub(super) const ENDS: &str = "/* taskq accept */ ";

/// Has Postgres accept what a handler did.
pub(super) const ACCEPT: &str = "set constraints all immediate";

/// Does so in a caller's transaction.
#[cfg(feature = "testing")]
pub(crate) const ACCEPT_INLINE: &str =
    "/* taskq accept */ set constraints all immediate; release savepoint taskq_attempt";

/// Undoes the effects of a handler in a caller's transaction.
#[cfg(feature = "testing")]
pub(crate) async fn undo_inline(tx: &mut PgConnection) -> Result<(), Error> {
    let undo = raw_sql("rollback to savepoint taskq_attempt");
    undo.execute(tx).await.map(drop)
}

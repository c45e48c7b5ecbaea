//! Where the handler begins the transaction.

use sqlx::PgConnection;
use taskq::LazyTx;
use taskq::error::BeginError;

/// What handlers are given.
type Given = LazyTx;

async fn begin(tx: &mut Given) -> Result<&mut PgConnection, BeginError> {
    tx.begin().await
}

#[expect(
    clippy::duplicate_mod,
    reason = "the same tests, with another kind of transaction"
)]
#[path = "charge.rs"]
mod charge;
#[expect(
    clippy::duplicate_mod,
    reason = "the same tests, with another kind of transaction"
)]
#[path = "effects.rs"]
mod effects;
#[expect(
    clippy::duplicate_mod,
    reason = "the same tests, with another kind of transaction"
)]
#[path = "session.rs"]
mod session;

//! Where the transaction has begun when the handler starts.

use sqlx::PgConnection;
use taskq::error::BeginError;

/// What handlers are given.
type Given = PgConnection;

async fn begin(tx: &mut Given) -> Result<&mut PgConnection, BeginError> {
    Ok(tx)
}

#[path = "charge.rs"]
mod charge;
#[path = "effects.rs"]
mod effects;
#[path = "planned.rs"]
mod planned;
#[path = "session.rs"]
mod session;
#[path = "untidy.rs"]
mod untidy;

//! The lease: kept while a handler lives, lost when nobody keeps it, and the fence behind it.

mod again;
mod asked;
pub(crate) mod fence;
mod few;
mod held;
mod keep;
mod rescue;
mod whole;

use std::time::Duration;

use sqlx::PgPool;
use taskq::{WorkerBuilder, task};

use crate::support::worker;

/// Short enough to wait for, and long enough that a heartbeat comes in time on a busy machine.
const LEASE: Duration = Duration::from_secs(2);

pub(crate) fn brief_lease(pool: &PgPool) -> WorkerBuilder {
    worker(pool).lease(LEASE)
}

#[task]
async fn other() {}

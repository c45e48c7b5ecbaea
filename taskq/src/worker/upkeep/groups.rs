//! Looking after groups: members that are nowhere any more, tasks of groups that were refused, and groups that ended long ago.
//!
//! The end of a member is noted in the transaction that ends it, and so is that of the group. What no statement of ours ends,
//! nobody notes: somebody deletes a waiting task by hand. If all workers stop, such a group stays open until one starts. Of
//! two workers that look after groups at once, one leaves it to the other.

use std::time::Duration;

use futures_util::FutureExt;
use sqlx::Error;

use super::duty::{Duty, First};
use crate::error::error_text;
use crate::worker::shared::Core;

pub(crate) const DUTY: Duty = Duty {
    name: "groups",
    period: |_| Some(Duration::from_secs(60)),
    first: |_| First::WithinPeriod,
    sooner: None,
    limit: Duration::from_secs(30),
    retry: None,
    run: |core| look_after(core).boxed(),
};

/// How many open groups one statement looks after.
const GROUPS: i32 = 20;

/// How many members of each it looks for. Of a larger group it goes on there the next time.
const MEMBERS: i32 = 10_000;

/// How many rows one statement deletes, so that none is locked for long.
const AT_ONCE: i32 = 5_000;

/// For how long a group is kept that has ended.
const KEEP: Duration = Duration::from_secs(7 * 24 * 60 * 60);

async fn look_after(core: &Core) -> bool {
    let tended = tend(core).await;
    if let Err(error) = &tended {
        tracing::warn!(
            error = error_text(error),
            "cannot look after groups; trying again later"
        );
    }
    tended.is_ok()
}

async fn tend(core: &Core) -> Result<(), Error> {
    let mut store = core.store();
    let (gone, ended) = store.tend_groups(GROUPS, MEMBERS).await?;
    if gone > 0 {
        tracing::warn!(
            members = gone,
            "members of groups are nowhere any more, and count as deleted: somebody has deleted their rows"
        );
    }
    if ended > 0 {
        tracing::info!(
            groups = ended,
            "groups have ended whose tasks Postgres had refused"
        );
    }
    while store.prune_groups(KEEP, AT_ONCE).await? >= i64::from(AT_ONCE) {}
    Ok(())
}

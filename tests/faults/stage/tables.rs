//! Reading what the tables hold when all is over.

use std::collections::HashMap;

use sqlx::{PgPool, query_as, query_scalar};
use taskq_tests::checker::Tables;

use super::flow::ticks;

/// Reads what the tables hold.
pub(super) async fn read(pool: &PgPool) -> Tables {
    let effects: Vec<(i64, i64)> = query_as("select n, count(*) from effect group by n")
        .fetch_all(pool)
        .await
        .expect("effects");
    let committed: Vec<i64> = query_scalar("select first from batch")
        .fetch_all(pool)
        .await
        .expect("batches");
    let discarded: Vec<(i64, i32)> = query_as(
        "select (payload ->> 'n')::bigint, attempts from taskq.dead where state = 'discarded' and payload ? 'n'",
    )
    .fetch_all(pool)
    .await
    .expect("dead tasks");
    let quarantined: Vec<i64> = query_scalar(
        "select (payload ->> 'n')::bigint from taskq.dead where state = 'quarantined' and payload ? 'n'",
    )
    .fetch_all(pool)
    .await
    .expect("dead tasks");
    let refused: Vec<i64> =
        query_scalar("select (payload ->> 'n')::bigint from taskq.refused where payload ? 'n'")
            .fetch_all(pool)
            .await
            .expect("refused tasks");
    let left: Vec<i64> = query_scalar(
        "select (payload ->> 'n')::bigint from taskq.tasks
             where payload ? 'n' and state not in ('completed', 'discarded', 'quarantined', 'refused')",
    )
    .fetch_all(pool)
    .await
    .expect("tasks");
    Tables {
        effects: effects.into_iter().collect(),
        committed: committed.into_iter().collect(),
        discarded: discarded
            .into_iter()
            .map(|(n, attempts)| (n, u16::try_from(attempts).unwrap_or(u16::MAX)))
            .collect::<HashMap<_, _>>(),
        quarantined: quarantined.into_iter().collect(),
        refused: refused.into_iter().collect(),
        left: left.into_iter().collect(),
        ticks: ticks(pool).await,
    }
}

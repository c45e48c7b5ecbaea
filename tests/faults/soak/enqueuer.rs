//! What the application does meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tokio::time::{sleep, timeout};

use crate::kill::any_plan;
use crate::stage::{Finale, Stage};

/// Enqueues in transactions of all sizes, and rolls some back.
pub(super) async fn enqueue(stage: &Stage, url: &str, backlog: i64, is_over: &AtomicBool) {
    let mut connection = None;
    while !is_over.load(Ordering::Relaxed) {
        let waiting = async {
            let mut db = match connection.take() {
                Some(db) => db,
                None => PgConnection::connect(url).await?,
            };
            let waiting: i64 = sqlx::query_scalar("select count(*) from taskq.task")
                .fetch_one(&mut db)
                .await?;
            Ok::<_, sqlx::Error>((db, waiting))
        };
        let Ok(Ok((mut db, waiting))) = timeout(Duration::from_secs(5), waiting).await else {
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        for _ in 0..5 {
            if waiting > backlog {
                sleep(Duration::from_millis(100)).await;
                continue;
            }
            let plan = any_plan(0.2);
            let count = if plan.succeeds() {
                fastrand::i64(1..=300)
            } else {
                fastrand::i64(1..=10)
            };
            let takes_ms = match fastrand::u8(..20) {
                0 => fastrand::u64(300..3_000),
                _ => fastrand::u64(..10),
            };
            // Few of those that take long.
            let count = if takes_ms > 10 { count / 10 + 1 } else { count };
            let finale = match fastrand::u8(..20) {
                0 => Finale::RollBack,
                _ => Finale::Commit,
            };
            let enqueued = stage.enqueue_on(&mut db, plan, count, takes_ms, finale);
            if !matches!(timeout(Duration::from_secs(5), enqueued).await, Ok(Ok(()))) {
                sleep(Duration::from_millis(100)).await;
                break;
            }
            sleep(Duration::from_millis(fastrand::u64(..30))).await;
        }
        if db.ping().await.is_ok() {
            connection = Some(db);
        }
    }
}

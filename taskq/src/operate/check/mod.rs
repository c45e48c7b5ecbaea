//! Asks, before a deploy, whether a program would run every task that is in the tables.
//!
//! Whatever the tables hold, this reads them in pages, each in a short read-only transaction of its own,
//! and has one payload in memory at a time. One snapshot for the whole would be exact, and would
//! keep vacuum from the queue's dead rows for as long as it takes.

mod report;

use std::panic::AssertUnwindSafe;

use sqlx::PgPool;

use self::report::Findings;
pub use self::report::{CheckReport, Finding, Stranded};
use crate::attempt::decision::report;
use crate::attempt::outcome::panic_message;
use crate::error::WorkerError;
use crate::operate::migrate;
use crate::store::{CheckedRow, Page, Schema, Store, version_of};
use crate::task::registry::Registry;

/// How many tasks a page has at the most: a page must end well within the limit of a call, even if all
/// its payloads are of the largest size and compressed well.
const ROW_LIMIT: usize = 250;

/// How many bytes the payloads of a page have at the most, as they are stored.
const BYTE_LIMIT: usize = 4 * 1024 * 1024;

/// Checks all waiting and running tasks.
pub(crate) async fn check(
    pool: &PgPool,
    schema: Schema,
    registry: &Registry,
) -> Result<CheckReport, WorkerError> {
    migrate::check(pool, schema).await?;
    let mut store = Store::keeping(pool.clone(), schema);
    let mut findings = Findings::default();
    // A claim moves tasks from the first to the second, which is how they go most of the time.
    check_waiting(&mut store, registry, &mut findings)
        .await
        .map_err(WorkerError::Database)?;
    check_running(&mut store, registry, &mut findings)
        .await
        .map_err(WorkerError::Database)?;
    Ok(findings.into_report())
}

async fn check_waiting(
    store: &mut Store<'_>,
    registry: &Registry,
    findings: &mut Findings,
) -> Result<(), sqlx::Error> {
    // What is enqueued from now on is not looked at, so that this ends.
    let Some(last) = store.check_last().await? else {
        return Ok(());
    };
    let mut after = Some(i64::MIN);
    while let Some(id) = after {
        let page = Page {
            after: id,
            last,
            row_limit: ROW_LIMIT,
            byte_limit: BYTE_LIMIT,
        };
        let look = |row: CheckedRow| {
            findings.waiting(row.task_id, &row.task_type, stranded(registry, &row));
        };
        after = store.check_waiting(page, look).await?;
    }
    Ok(())
}

async fn check_running(
    store: &mut Store<'_>,
    registry: &Registry,
    findings: &mut Findings,
) -> Result<(), sqlx::Error> {
    let mut lease = None;
    loop {
        let look = |row: CheckedRow| {
            findings.running(row.task_id, &row.task_type, stranded(registry, &row));
        };
        lease = store.check_running(lease, look).await?;
        if lease.is_none() {
            return Ok(());
        }
    }
}

/// Says why a worker with these handlers would not run a task.
fn stranded(registry: &Registry, row: &CheckedRow) -> Option<Stranded> {
    let Some(handler) = registry.find(&row.task_type) else {
        return Some(Stranded::UnknownType {
            similar: registry.similar_to(&row.task_type),
        });
    };
    let version = version_of(row.payload_version);
    let known = handler.options.version;
    // A claim leaves these where they are; no worker of this program decodes them.
    if let Some(version) = version.filter(|version| *version > known) {
        return Some(Stranded::NewerVersion { version, known });
    }
    let decode = AssertUnwindSafe(|| (handler.decode)(&row.payload, version));
    let (path, error) = match std::panic::catch_unwind(decode) {
        Ok(Ok(())) => return None,
        Ok(Err(error)) => (error.path().to_owned(), report(&error)),
        Err(panic) => (".".to_owned(), panic_message(&*panic)),
    };
    Some(Stranded::Invalid { path, error })
}

//! The check before a deploy: would a program run every task that is in the tables?
//!
//! It reads the tables in pages, each in a short read-only transaction of its own, and has one payload in
//! memory at a time. One snapshot of everything would be exact, but for as long as the check takes it
//! would keep vacuum from the queue's dead rows.

mod report;

use std::panic::AssertUnwindSafe;

use serde_json::value::RawValue;
use sqlx::PgPool;

use self::report::Findings;
pub use self::report::{CheckReport, Finding, Stranded, StrandedSchedule};
use crate::attempt::outcome::panic_message;
use crate::attempt::panics;
#[cfg(feature = "cron")]
use crate::calendar::Calendar;
use crate::error::WorkerError;
use crate::error::error_text;
use crate::operate::migrate;
use crate::store::{CheckedRow, Page, Schema, Store, version_of};
use crate::task::registry::Registry;

/// How many tasks a page has at the most. A page must end well within the time limit of a call, even if
/// all its payloads have the largest size and were compressed well.
const ROW_LIMIT: usize = 250;

/// How many bytes the payloads of a page have at the most, as they are stored.
const BYTE_LIMIT: usize = 4 * 1024 * 1024;

/// Checks all waiting and running tasks.
pub(crate) async fn check(
    pool: &PgPool,
    schema: Schema,
    registry: &Registry,
) -> Result<CheckReport, WorkerError> {
    panics::note_places();
    let mut store = Store::keeping(pool.clone(), schema);
    migrate::require_version(&mut store, schema).await?;
    let mut findings = Findings::default();
    // Waiting tasks first: a claim moves a task from waiting to running, and the task is then seen twice
    // at worst. The other way round it would not be seen.
    check_waiting(&mut store, registry, &mut findings)
        .await
        .map_err(WorkerError::Database)?;
    check_running(&mut store, registry, &mut findings)
        .await
        .map_err(WorkerError::Database)?;
    #[cfg(feature = "cron")]
    check_schedules(&mut store, registry, &mut findings)
        .await
        .map_err(WorkerError::Database)?;
    Ok(findings.into_report())
}

async fn check_waiting(
    store: &mut Store<'_>,
    registry: &Registry,
    findings: &mut Findings,
) -> Result<(), sqlx::Error> {
    // Tasks that are enqueued from now on are left out, so that the check ends.
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
        let add = |row: CheckedRow| {
            findings.waiting(row.task_id, &row.task_type, stranded(registry, &row));
        };
        after = store.check_waiting(page, add).await?;
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
        let add = |row: CheckedRow| {
            findings.running(row.task_id, &row.task_type, stranded(registry, &row));
        };
        lease = store.check_running(lease, add).await?;
        if lease.is_none() {
            return Ok(());
        }
    }
}

/// Checks what was said of schedules at run time. What this program declares of them, `build` checks.
#[cfg(feature = "cron")]
async fn check_schedules(
    store: &mut Store<'_>,
    registry: &Registry,
    findings: &mut Findings,
) -> Result<(), sqlx::Error> {
    for row in store.schedules(None).await? {
        if row.made_by.is_none() {
            continue;
        }
        let problem = match Calendar::parse(&row.expression, &row.timezone) {
            Err(error) => Some(error.to_string()),
            Ok(_) => stranded_payload(registry, &row.task_type, row.payload_version, &row.payload)
                .map(problem_of),
        };
        if let Some(problem) = problem {
            findings.schedule(row.name, row.task_type, problem);
        }
    }
    Ok(())
}

#[cfg(feature = "cron")]
fn problem_of(reason: Stranded) -> String {
    match reason {
        Stranded::UnknownType { .. } => "no handler of this program has this name".to_owned(),
        Stranded::NewerVersion { version, known } => {
            format!(
                "its payload is of version {version}, and this program knows none after {known}"
            )
        }
        Stranded::Invalid { error, .. } => error,
    }
}

/// Returns why a worker with these handlers would not run a task.
fn stranded(registry: &Registry, row: &CheckedRow) -> Option<Stranded> {
    stranded_payload(
        registry,
        &row.task_type,
        version_of(row.payload_version),
        &row.payload,
    )
}

fn stranded_payload(
    registry: &Registry,
    task_type: &str,
    version: Option<u16>,
    payload: &RawValue,
) -> Option<Stranded> {
    let Some(handler) = registry.find(task_type) else {
        return Some(Stranded::UnknownType {
            similar: registry.similar_to(task_type),
        });
    };
    let known = handler.options.version;
    // No worker of this program claims a newer version, so none decodes it.
    if let Some(version) = version.filter(|version| *version > known) {
        return Some(Stranded::NewerVersion { version, known });
    }
    let decode = AssertUnwindSafe(|| handler.reads(task_type, payload, version));
    let (path, error) = match std::panic::catch_unwind(decode) {
        Ok(Ok(())) => return None,
        Ok(Err(error)) => (error.path().to_owned(), error_text(&error)),
        Err(panic) => (".".to_owned(), panic_message(&*panic)),
    };
    Some(Stranded::Invalid { path, error })
}

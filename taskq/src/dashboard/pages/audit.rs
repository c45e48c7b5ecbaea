//! Who did what, and why.

use askama::Template;

use crate::dashboard::board::{Answer, Asked};
use crate::dashboard::failure::Failure;
use crate::dashboard::frame::{Frame, page};
use crate::dashboard::text::{When, link, when};
use crate::operate::audit::Audited;

struct AuditLine {
    at: When,
    by: String,
    what: String,
    /// What it was done to.
    to: String,
    link: Option<String>,
    task_type: String,
    before: String,
    reason: String,
}

#[derive(Template)]
#[template(path = "dashboard/audit.html")]
struct AuditPage {
    frame: Frame,
    entries: Vec<AuditLine>,
    next: Option<String>,
    is_first: bool,
}

pub(in crate::dashboard) async fn show(asked: Asked) -> Result<Answer, Failure> {
    let reader = asked.reader()?;
    let before = asked.said.number("before")?;
    let now = reader.now().await?;
    let read = reader.audit(before).await?;
    let line = |entry: &Audited| AuditLine {
        at: when(entry.at, now),
        by: entry.by.clone(),
        what: entry.what().to_owned(),
        to: entry.to(),
        link: target(entry),
        task_type: entry.task_type.clone().unwrap_or_default(),
        before: entry.before().unwrap_or_default(),
        reason: entry.reason.clone().unwrap_or_default(),
    };
    page(&AuditPage {
        entries: read.entries.iter().map(line).collect(),
        next: read
            .next
            .map(|next| link("audit", &[("before", &next.to_string())])),
        is_first: before.is_none(),
        frame: Frame::new(&asked, "Audit", Some(now)),
    })
}

/// Returns where what it was done to is shown.
fn target(entry: &Audited) -> Option<String> {
    let of = |page: &str, id: i64| Some(link(page, &[("id", &id.to_string())]));
    match (entry.task_id, entry.bulk_id, &entry.worker_id) {
        (Some(task_id), ..) => of("task", task_id),
        // What was left as it was is forgotten.
        (_, Some(bulk_id), _) if entry.tasks.is_some() => of("bulk", bulk_id),
        (_, _, Some(_)) => Some("workers".to_owned()),
        _ if entry.scope.as_deref() == Some("schedule") => Some("schedules".to_owned()),
        _ => None,
    }
}

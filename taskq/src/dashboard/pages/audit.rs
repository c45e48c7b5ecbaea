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
    verb: String,
    /// What it was done to.
    to: String,
    link: Option<String>,
    task_type: String,
    state: String,
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
    let line = |entry: &Audited| {
        let (to, link) = target(entry);
        AuditLine {
            at: when(entry.at, now),
            by: entry.by.clone(),
            verb: entry.verb.clone(),
            to,
            link,
            task_type: entry.task_type.clone().unwrap_or_default(),
            state: entry.state.clone().unwrap_or_default(),
            reason: entry.reason.clone().unwrap_or_default(),
        }
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

/// Returns what it was done to, and where that is shown.
fn target(entry: &Audited) -> (String, Option<String>) {
    let of = |page: &str, id: i64| Some(link(page, &[("id", &id.to_string())]));
    if let (Some(scope), Some(name)) = (&entry.scope, &entry.name) {
        let page = match (scope.as_str(), entry.task_id) {
            (_, Some(task_id)) => of("task", task_id),
            ("schedule", _) => Some("schedules".to_owned()),
            _ => None,
        };
        return (format!("{} {name}", scope.replace('_', " ")), page);
    }
    match (entry.task_id, entry.bulk_id, &entry.worker_id) {
        (Some(task_id), _, _) => (format!("task {task_id}"), of("task", task_id)),
        (_, Some(bulk_id), _) => (format!("all of operation {bulk_id}"), of("bulk", bulk_id)),
        (_, _, Some(worker_id)) => (format!("worker {worker_id}"), Some("workers".to_owned())),
        _ => (String::new(), None),
    }
}

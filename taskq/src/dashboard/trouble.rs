//! What is wrong, each with what mends it.

use chrono::{DateTime, Utc};

use super::text::{When, link, sentence, when};
use crate::operate::doctor::{Ailment, Severity};
use crate::operate::pause::Scope;
use crate::operate::remedy::Remedy;

/// Something that is wrong.
pub(super) struct Trouble {
    pub(super) is_error: bool,
    /// By what it is known, where somebody acknowledges it.
    pub(super) problem: String,
    pub(super) subject: String,
    pub(super) severity: &'static str,
    pub(super) known: Option<Known>,
    pub(super) said: String,
    pub(super) advice: String,
    /// What mends it in SQL, where no button does.
    pub(super) statement: Option<String>,
    pub(super) deeds: Vec<Deed>,
    /// Where more is to be seen.
    pub(super) link: Option<(&'static str, String)>,
}

/// Who has acknowledged it, why, and until when.
pub(super) struct Known {
    pub(super) by: String,
    pub(super) at: When,
    pub(super) reason: Option<String>,
    pub(super) until: Option<When>,
}

/// A form that mends it.
pub(super) struct Deed {
    pub(super) action: &'static str,
    pub(super) label: String,
    pub(super) fields: Vec<(&'static str, String)>,
    pub(super) is_bulk: bool,
    pub(super) is_grave: bool,
    /// What comes of it, where somebody is asked before. What is done to all is asked on a page of its own.
    pub(super) consequence: Option<String>,
    /// Whether it is done at once, and a reason may be given beside it.
    pub(super) may_say_why: bool,
}

impl Trouble {
    pub(super) fn of(ailment: Ailment, now: DateTime<Utc>) -> Self {
        let remedy = Remedy::of(&ailment);
        let link = link_of(&ailment, remedy.as_ref());
        let deeds = remedy.map(deeds).unwrap_or_default();
        Self {
            is_error: ailment.severity == Severity::Error,
            severity: ailment.severity.name(),
            known: ailment.acknowledged.map(|known| Known {
                by: known.by,
                at: when(known.at, now),
                reason: known.reason,
                until: known.until.map(|until| when(until, now)),
            }),
            advice: sentence(&ailment.advice),
            // The name of a setting is written small.
            said: match ailment.problem.as_str() {
                "setting" => ailment.said,
                _ => sentence(&ailment.said),
            },
            statement: ailment.statement.filter(|_| deeds.is_empty()),
            deeds,
            link,
            problem: ailment.problem,
            subject: ailment.subject,
        }
    }
}

fn link_of(ailment: &Ailment, remedy: Option<&Remedy>) -> Option<(&'static str, String)> {
    let tasks = |filter: &str| ("See them", link("tasks", &[("q", filter)]));
    let page = |name, page: &str| (name, page.to_owned());
    Some(match remedy {
        Some(Remedy::RetryAll(filter) | Remedy::CancelAll(filter)) => tasks(filter),
        Some(Remedy::TakeBackAll) => tasks("state:refused"),
        Some(Remedy::Resume(Scope::Schedule(_))) => page("Schedules", "schedules"),
        Some(Remedy::Resume(_)) => page("Pauses", "queues"),
        Some(Remedy::Cancel(task_id) | Remedy::SkipDead { task_id, .. }) => {
            ("See it", link("task", &[("id", &task_id.to_string())]))
        }
        _ => match ailment.problem.as_str() {
            "dead" => page("Causes", "causes"),
            "unserved" => page("Queues and types", "queues"),
            "limit" => page("Limits", "limits"),
            #[cfg(feature = "cron")]
            "schedule" if matches!(remedy, Some(Remedy::RemoveSchedule(_))) => (
                "Correct it",
                link("schedule", &[("name", &ailment.subject)]),
            ),
            "schedule" => page("Schedules", "schedules"),
            "no worker" | "vanished worker" | "lease" => page("Workers", "workers"),
            _ => return None,
        },
    })
}

fn deeds(remedy: Remedy) -> Vec<Deed> {
    let deed = |action, fields| Deed {
        action,
        label: remedy.label(),
        fields,
        is_bulk: false,
        is_grave: false,
        consequence: None,
        may_say_why: true,
    };
    let asked = |action, fields| Deed {
        is_grave: true,
        consequence: Some(remedy.consequence()),
        may_say_why: false,
        ..deed(action, fields)
    };
    let named =
        |(scope, name): (&str, &str)| vec![("scope", scope.to_owned()), ("name", name.to_owned())];
    let one = |name, value: String| vec![(name, value)];
    match &remedy {
        Remedy::Resume(scope) => vec![deed("resume", named(scope.parts()))],
        Remedy::ResetLimits(scope) => vec![deed("reset-limits", named(scope.parts()))],
        Remedy::RetryAll(filter) => vec![
            all("retry", "Retry all…", filter, false),
            Deed {
                label: "Retry one first".to_owned(),
                may_say_why: false,
                ..deed("retry-one", one("q", filter.clone()))
            },
            all("discard", "Discard all…", filter, true),
        ],
        Remedy::CancelAll(filter) => vec![all("cancel", "Cancel all…", filter, true)],
        Remedy::Cancel(task_id) => vec![asked("cancel", one("id", task_id.to_string()))],
        Remedy::SkipDead { task_id, frees } => {
            let (id, frees) = (task_id.to_string(), frees.to_string());
            let retry = Deed {
                label: "Retry the dead task".to_owned(),
                ..deed("retry", one("id", id.clone()))
            };
            vec![
                retry,
                asked("skip-dead", vec![("id", id), ("frees", frees)]),
            ]
        }
        Remedy::TakeBackAll => vec![deed("take-back", one("all", "yes".to_owned()))],
        Remedy::EndSession(process_id) => {
            vec![asked("end-session", one("process", process_id.to_string()))]
        }
        Remedy::ForgetWorker(worker_id) => {
            vec![deed("forget-worker", one("id", worker_id.to_string()))]
        }
        #[cfg(feature = "cron")]
        Remedy::RunSchedule(name) => vec![deed("run-schedule", one("name", name.clone()))],
        #[cfg(feature = "cron")]
        Remedy::RemoveSchedule(name) => vec![asked("remove-schedule", one("name", name.clone()))],
        #[cfg(not(feature = "cron"))]
        Remedy::RunSchedule(_) | Remedy::RemoveSchedule(_) => Vec::new(),
        // The page has a form of its own for each trouble.
        #[cfg(feature = "top")]
        Remedy::Acknowledge(_) | Remedy::Unacknowledge(_) | Remedy::RetryOne(_) => Vec::new(),
    }
}

fn all(verb: &'static str, label: &str, filter: &str, is_grave: bool) -> Deed {
    Deed {
        action: "freeze",
        label: label.to_owned(),
        fields: vec![("verb", verb.to_owned()), ("q", filter.to_owned())],
        is_bulk: true,
        is_grave,
        consequence: None,
        may_say_why: false,
    }
}

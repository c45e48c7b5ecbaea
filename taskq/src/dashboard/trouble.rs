//! What is wrong, each with what mends it.

use super::text::link;
use crate::operate::doctor::{Ailment, Severity};
use crate::operate::filter::Filter;
use crate::operate::limit::Limit;
use crate::operate::pause::Pause;
use crate::operate::stats::KindStats;

/// Something that is wrong.
pub(super) struct Trouble {
    pub(super) is_error: bool,
    pub(super) said: String,
    pub(super) advice: String,
    /// What mends it in SQL, where no button does.
    pub(super) statement: Option<String>,
    pub(super) deeds: Vec<Deed>,
    /// Where more is to be seen.
    pub(super) links: Vec<(&'static str, String)>,
}

/// A form of one button, which mends it.
pub(super) struct Deed {
    pub(super) action: &'static str,
    pub(super) label: String,
    pub(super) fields: Vec<(&'static str, String)>,
    pub(super) is_bulk: bool,
    pub(super) is_grave: bool,
}

/// What is known besides, with which ailments are mended.
pub(super) struct Known<'a> {
    pub(super) pauses: &'a [Pause],
    pub(super) limits: &'a [Limit],
    pub(super) kinds: &'a [KindStats],
}

impl Trouble {
    pub(super) fn of(ailment: Ailment, known: &Known<'_>) -> Self {
        let (deeds, links) = remedy(&ailment, known);
        Self {
            is_error: ailment.severity == Severity::Error,
            said: ailment.said,
            advice: ailment.advice,
            statement: ailment.statement.filter(|_| deeds.is_empty()),
            deeds,
            links,
        }
    }
}

type Remedy = (Vec<Deed>, Vec<(&'static str, String)>);

fn remedy(ailment: &Ailment, known: &Known<'_>) -> Remedy {
    let tasks = |filter: &str| link("tasks", &[("q", filter)]);
    let command = ailment.command.as_deref().unwrap_or_default();
    match ailment.problem.as_str() {
        "paused" => (
            resume(ailment, known),
            vec![("Pauses", "queues".to_owned())],
        ),
        "dead" => match after(command, "cause:") {
            Some(cause) => {
                let filter = format!("cause:{cause}");
                let deeds = vec![
                    all("retry", "Retry all…", &filter, false),
                    all("discard", "Discard all…", &filter, true),
                ];
                (deeds, vec![("See them", tasks(&filter))])
            }
            None => (Vec::new(), vec![("Causes", "causes".to_owned())]),
        },
        "unserved" => unserved(ailment, known),
        "limit" => (reset(ailment, known), vec![("Limits", "limits".to_owned())]),
        "blocked" => match after(command, "skip-dead ") {
            Some(id) => {
                let deeds = vec![
                    one(
                        "retry",
                        "Retry the dead task",
                        vec![("id", id.to_owned())],
                        false,
                    ),
                    one(
                        "skip-dead",
                        "Go on without it",
                        vec![("id", id.to_owned())],
                        true,
                    ),
                ];
                (deeds, vec![("See it", link("task", &[("id", id)]))])
            }
            None => Remedy::default(),
        },
        "refused" => (Vec::new(), vec![("See them", tasks("state:refused"))]),
        "perhaps stuck" => match after(command, "cancel ") {
            Some(id) => {
                let deed = one("cancel", "Cancel it", vec![("id", id.to_owned())], true);
                (vec![deed], vec![("See it", link("task", &[("id", id)]))])
            }
            None => Remedy::default(),
        },
        "schedule" => (Vec::new(), vec![("Schedules", "schedules".to_owned())]),
        "no worker" | "vanished worker" | "lease" => {
            (Vec::new(), vec![("Workers", "workers".to_owned())])
        }
        _ => Remedy::default(),
    }
}

/// Returns the word that stands behind a text.
fn after<'a>(text: &'a str, before: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric());
    let word = &rest[..end.unwrap_or(rest.len())];
    (!word.is_empty()).then_some(word)
}

fn one(
    action: &'static str,
    label: impl Into<String>,
    fields: Vec<(&'static str, String)>,
    is_grave: bool,
) -> Deed {
    Deed {
        action,
        label: label.into(),
        fields,
        is_bulk: false,
        is_grave,
    }
}

fn all(verb: &'static str, label: &str, filter: &str, is_grave: bool) -> Deed {
    Deed {
        is_bulk: true,
        ..one(
            "freeze",
            label,
            vec![("verb", verb.to_owned()), ("q", filter.to_owned())],
            is_grave,
        )
    }
}

/// A queue and a type may have one name: the doctor says in its advice which is paused.
fn resume(ailment: &Ailment, known: &Known<'_>) -> Vec<Deed> {
    let pauses = known.pauses.iter().map(|pause| pause.scope.parts());
    let meant = pauses.filter(|(scope, name)| {
        let scope = scope.replace('_', " ");
        *name == ailment.subject && ailment.advice.starts_with(&format!("resume the {scope} "))
    });
    let deed = |(scope, name): (&str, &str)| {
        let fields = vec![("scope", scope.to_owned()), ("name", name.to_owned())];
        one(
            "resume",
            format!("Resume the {}", scope.replace('_', " ")),
            fields,
            false,
        )
    };
    meant.map(deed).collect()
}

fn reset(ailment: &Ailment, known: &Known<'_>) -> Vec<Deed> {
    let meant = known.limits.iter().filter(|limit| {
        let is_nothing = limit
            .in_force
            .is_some_and(|it| it.to_string().starts_with("0 "));
        is_nothing && limit.overridden.is_some() && limit.scope.parts().1 == ailment.subject
    });
    let deed = |limit: &Limit| {
        let (scope, name) = limit.scope.parts();
        let fields = vec![("scope", scope.to_owned()), ("name", name.to_owned())];
        one("reset-limits", "Reset the limit", fields, false)
    };
    meant.map(deed).collect()
}

fn unserved(ailment: &Ailment, known: &Known<'_>) -> Remedy {
    let mut kinds = known.kinds.iter();
    let meant = kinds.find(|kind| {
        let place = format!(
            "of type {} wait in queue {}, and ",
            kind.task_type, kind.queue
        );
        kind.task_type == ailment.subject && ailment.said.contains(&place)
    });
    let Some(kind) = meant else {
        return (Vec::new(), vec![("Queues and types", "queues".to_owned())]);
    };
    let filter = Filter::of_names(Some(&kind.queue), Some(&kind.task_type));
    let filter = format!("state:waiting {filter}");
    let deeds = vec![all("cancel", "Cancel all…", &filter, true)];
    (deeds, vec![("See them", link("tasks", &[("q", &filter)]))])
}

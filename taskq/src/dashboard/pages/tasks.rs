//! The tasks that match a filter.

use std::time::Duration;

use askama::Template;
use chrono::{DateTime, Utc};

use crate::dashboard::board::{Answer, Asked};
use crate::dashboard::failure::Failure;
use crate::dashboard::frame::{Frame, page};
use crate::dashboard::text::{When, line, link, number, when};
use crate::operate::filter::{DIED, Filter};
use crate::operate::list::{Cursor, FoundTask, Page};
use crate::operate::task::TaskState;

/// How many tasks a page has.
const MOST: u16 = 50;

/// For how long a page looks for tasks, unless somebody has it look further: then that is said by `further` in the query.
const LOOKS: Duration = Duration::from_millis(25);

const LOOKS_FURTHER: Duration = Duration::from_secs(2);

/// Filters that are asked for often.
const OFTEN: [(&str, &str); 7] = [
    ("All", ""),
    ("Running", "state:running"),
    ("Due", "state:due"),
    ("Scheduled", "state:scheduled"),
    ("Dead", DIED),
    ("Cancelled", "state:cancelled"),
    ("Completed", "state:completed"),
];

/// A task in a list.
pub(super) struct TaskLine {
    pub(super) id: i64,
    pub(super) link: String,
    pub(super) task_type: String,
    pub(super) type_link: String,
    pub(super) queue: String,
    pub(super) state: State,
    pub(super) at: When,
    pub(super) due: Option<When>,
    pub(super) attempts: String,
    pub(super) error: String,
}

/// A state, as a page shows it: by a word and a shape, and by a colour besides.
#[derive(Debug, Clone, Copy)]
pub(super) struct State {
    pub(super) name: &'static str,
    pub(super) shape: &'static str,
    /// The class of its colour.
    pub(super) class: &'static str,
}

impl State {
    pub(super) fn of(state: TaskState) -> Self {
        let (shape, class) = match state {
            TaskState::Waiting => ("○", "calm"),
            TaskState::Running => ("▶", "busy"),
            TaskState::Completed => ("✓", "good"),
            TaskState::Cancelled | TaskState::Expired => ("⊘", "calm"),
            _ => ("✕", "bad"),
        };
        Self {
            name: state.name(),
            shape,
            class,
        }
    }
}

impl TaskLine {
    pub(super) fn of(task: &FoundTask, now: DateTime<Utc>) -> Self {
        let id = task.task_id.to_string();
        let most = task.max_attempts.map(|most| format!(" of {most}"));
        let type_filter = Filter::of_names(None, Some(&task.task_type)).to_string();
        Self {
            id: task.task_id,
            link: link("task", &[("id", &id)]),
            type_link: link("tasks", &[("q", &type_filter)]),
            task_type: task.task_type.clone(),
            queue: task.queue.clone(),
            state: State::of(task.state),
            at: when(task.at, now),
            due: task
                .run_at
                .filter(|_| task.state == TaskState::Waiting)
                .map(|at| when(at, now)),
            attempts: format!("{}{}", task.attempts, most.unwrap_or_default()),
            error: line(task.error.as_deref().unwrap_or_default(), 160),
        }
    }
}

/// A filter that is a click away.
struct Often {
    name: &'static str,
    link: String,
    is_here: bool,
}

#[derive(Template)]
#[template(path = "dashboard/tasks.html")]
struct Tasks {
    frame: Frame,
    filter: String,
    /// What is wrong with the filter.
    problem: Option<String>,
    often: Vec<Often>,
    tasks: Vec<TaskLine>,
    /// Where the list goes on.
    next: Option<String>,
    /// Where the search stopped, if it did.
    stopped: Option<Stop>,
    is_first: bool,
    newest: String,
    /// What may be done to all that match.
    verbs: Vec<Verb>,
}

/// Where a search stopped.
struct Stop {
    /// How many tasks it had looked at, and of which place.
    looked: String,
    place: &'static str,
    link: String,
}

/// Something that may be done to all that match.
struct Verb {
    name: &'static str,
    label: &'static str,
    hint: &'static str,
}

pub(in crate::dashboard) async fn show(asked: Asked) -> Result<Answer, Failure> {
    let reader = asked.reader()?;
    let said = asked.said.text("q").unwrap_or_default().to_owned();
    let after = asked
        .said
        .text("after")
        .map(str::parse::<Cursor>)
        .transpose()?;
    let is_first = after.is_none();
    let now = reader.now().await?;
    let (found, problem) = match asked.said.filter("q") {
        Ok(filter) => {
            let patience = match asked.said.has("further") {
                true => LOOKS_FURTHER,
                false => LOOKS,
            };
            let found = reader.list(&filter, MOST, after, patience).await?;
            (Some(found), None)
        }
        Err(failure) => (None, Some(failure.text())),
    };
    let (next, stopped) = match &found {
        Some(page) => goes_on(page, &said),
        None => (None, None),
    };
    let tasks = found.iter().flat_map(|page| &page.tasks);
    let often = OFTEN.iter().map(|(name, filter)| Often {
        name,
        link: link("tasks", &[("q", filter)]),
        is_here: *filter == said,
    });
    let frame = Frame::new(&asked, "Tasks", Some(now));
    page(&Tasks {
        tasks: tasks.map(|task| TaskLine::of(task, now)).collect(),
        verbs: verbs(&said),
        often: often.collect(),
        problem,
        next,
        stopped,
        is_first,
        newest: link("tasks", &[("q", &said)]),
        // A list that somebody has paged through stands still.
        frame: if is_first { frame.live(&asked) } else { frame },
        filter: said,
    })
}

/// Returns where the list goes on, or where the search stopped.
fn goes_on(page: &Page, said: &str) -> (Option<String>, Option<Stop>) {
    let Some(cursor) = &page.next else {
        return (None, None);
    };
    let after = cursor.to_string();
    let mut query = vec![("q", said), ("after", &*after)];
    if !page.stopped {
        return (Some(link("tasks", &query)), None);
    }
    query.push(("further", "1"));
    let stop = Stop {
        looked: number(page.looked.unwrap_or_default()),
        place: cursor.place(),
        link: link("tasks", &query),
    };
    (None, Some(stop))
}

/// Returns what can be done in the states that a filter names.
fn verbs(filter: &str) -> Vec<Verb> {
    let states: Option<Vec<&str>> = filter
        .split_whitespace()
        .find_map(|term| term.strip_prefix("state:"))
        .map(|states| states.split(',').collect());
    let is_any_of = |able: &[&str]| match &states {
        None => true,
        Some(states) => states.iter().all(|state| able.contains(state)),
    };
    const DEAD: &[&str] = &[
        "dead",
        "discarded",
        "cancelled",
        "invalid",
        "quarantined",
        "expired",
    ];
    const WAITING: &[&str] = &["waiting", "due", "scheduled"];
    let alive: Vec<&str> = [WAITING, &["running"]].concat();
    let all = [
        (
            Verb {
                name: "retry",
                label: "Retry all…",
                hint: "the dead ones that match run again",
            },
            is_any_of(&[DEAD, WAITING].concat()),
        ),
        (
            Verb {
                name: "reschedule",
                label: "Reschedule all…",
                hint: "those that match and wait are due at the time that is said",
            },
            is_any_of(WAITING),
        ),
        (
            Verb {
                name: "cancel",
                label: "Cancel all…",
                hint: "those that match and wait or run are set aside",
            },
            is_any_of(&alive),
        ),
        (
            Verb {
                name: "discard",
                label: "Discard all…",
                hint: "the dead ones that match are deleted",
            },
            is_any_of(DEAD),
        ),
    ];
    let able = all.into_iter().filter(|(_, is_able)| *is_able);
    able.map(|(verb, _)| verb).collect()
}

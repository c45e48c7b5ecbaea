//! One task: all that is stored of it, and what can be done with it.

use std::time::Duration;

use askama::Template;
use chrono::{DateTime, Utc};

use super::draft::Draft;
use super::task_log::{LogOfAttempt, SHOWN_OF_LOG, logs};
use super::tasks::State;
use crate::dashboard::board::{Answer, Asked};
use crate::dashboard::failure::Failure;
use crate::dashboard::form::Control;
use crate::dashboard::frame::{Frame, page};
use crate::dashboard::said::Said;
use crate::dashboard::text::{When, cut, link, number, pretty, sentence, span, when};
use crate::error::AttemptReport;
use crate::operate::filter::Filter;
use crate::operate::gone::Gone;
use crate::operate::show::{Reason, TaskDetails};
use crate::operate::task::TaskState;

/// How much of a JSON text is shown at first, in bytes.
const SHOWN: usize = 20_000;

/// How much of an error is shown at first, in bytes.
const SHOWN_OF_ERROR: usize = 8_000;

/// JSON, as Postgres has it.
struct Json {
    text: String,
    /// How large all of it is, where this is only the beginning.
    of: Option<String>,
}

impl Json {
    fn of(json: &str, is_all: bool) -> Self {
        let most = if is_all { usize::MAX } else { SHOWN };
        let (shown, is_cut) = cut(json, most);
        Self {
            text: pretty(shown),
            of: is_cut.then(|| size(json.len())),
        }
    }
}

fn size(bytes: usize) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{} kB", bytes / 1_000),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

struct ErrorLine {
    /// Its place on the page, the same whatever other errors there are.
    id: String,
    attempt: i32,
    at: When,
    text: String,
    is_cut: bool,
    /// What else is known of the attempt.
    facts: Vec<Fact>,
    chain: Vec<String>,
    backtrace: Option<String>,
}

/// How far the last attempt was that said so.
struct ProgressLine {
    fraction: Option<f64>,
    text: String,
    attempt: i32,
    at: When,
}

struct EventLine {
    at: When,
    text: String,
}

/// Why the task does not run, or what becomes of it.
struct WhyLine {
    said: String,
    advice: Option<String>,
    /// The page on which it can be changed, and its name.
    page: Option<(&'static str, &'static str)>,
    is_trouble: bool,
}

impl WhyLine {
    fn of(reason: &Reason) -> Self {
        let is_calm = matches!(reason.reason.as_str(), "not due" | "next" | "running");
        Self {
            said: reason.said.clone(),
            advice: reason.advice.clone(),
            page: match reason.reason.as_str() {
                "paused" => Some(("queues", "Pauses")),
                "limit" => Some(("limits", "Limits")),
                "sequence" => Some(("limits", "Sequences")),
                "unserved" | "perhaps stuck" | "abandoned" => Some(("workers", "Workers")),
                _ => None,
            },
            is_trouble: !is_calm,
        }
    }
}

/// A name and what stands behind it.
struct Fact {
    name: &'static str,
    text: String,
    link: Option<String>,
    when: Option<When>,
}

impl Fact {
    fn text(name: &'static str, text: impl Into<String>) -> Self {
        Self {
            name,
            text: text.into(),
            link: None,
            when: None,
        }
    }

    fn link(name: &'static str, text: impl Into<String>, link: String) -> Self {
        Self {
            link: Some(link),
            ..Self::text(name, text)
        }
    }

    fn when(name: &'static str, at: When) -> Self {
        Self {
            when: Some(at),
            ..Self::text(name, "")
        }
    }
}

#[derive(Template)]
#[template(path = "dashboard/task.html")]
struct TaskPage {
    frame: Frame,
    id: i64,
    task_type: String,
    state: State,
    /// Nothing of what has ended: its state says it.
    why: Vec<WhyLine>,
    progress: Option<ProgressLine>,
    facts: Vec<Fact>,
    payload: Json,
    metadata: Option<Json>,
    result: Option<Json>,
    refusal: Option<Json>,
    errors: Vec<ErrorLine>,
    logs: Vec<LogOfAttempt>,
    events: Vec<EventLine>,
    keys: Vec<String>,
    all: String,
    may_retry: bool,
    may_cancel: bool,
    may_discard: bool,
    may_edit: bool,
    is_waiting: bool,
    /// The form that edits the payload, unless it is too large for one.
    draft: Option<Draft>,
    is_editing: bool,
}

/// The largest payload that a form offers for editing, in bytes.
const EDITABLE: usize = 200_000;

pub(in crate::dashboard) async fn show(asked: Asked) -> Result<Answer, Failure> {
    let reader = asked.reader()?;
    let id = asked.said.id("id")?;
    let now = reader.now().await?;
    let Some(task) = reader.show(id).await? else {
        return gone(&asked, id, &reader.gone(id).await?, now);
    };
    let is_all = asked.said.has("all");
    // Most tasks have none, and then nobody asks.
    let most = if is_all { usize::MAX } else { SHOWN_OF_LOG };
    let logged = match task.log_lines {
        0 => Vec::new(),
        _ => reader.logs(id, most).await?,
    };
    let state = task.state;
    let is_dead = !matches!(
        state,
        TaskState::Waiting | TaskState::Running | TaskState::Completed | TaskState::Refused
    );
    let payload = task.payload.get();
    let title = format!("Task {id}");
    page(&TaskPage {
        why: match state {
            TaskState::Waiting | TaskState::Running => task.why.iter().map(WhyLine::of).collect(),
            _ => Vec::new(),
        },
        progress: task.progress.as_ref().map(|it| ProgressLine {
            fraction: it.fraction,
            text: it.to_string(),
            attempt: it.attempt,
            at: when(it.said_at, now),
        }),
        facts: facts(&task, now),
        errors: errors(&task, now, is_all),
        logs: logs(id, logged, now, asked.said.text("all")),
        events: events(&task, now),
        keys: keys(&task),
        payload: Json::of(payload, is_all),
        metadata: Some(task.metadata.get())
            .filter(|metadata| *metadata != "{}" && *metadata != "null")
            .map(|metadata| Json::of(metadata, is_all)),
        result: task.result.as_ref().map(|it| Json::of(it.get(), is_all)),
        refusal: task.refusal.as_ref().map(|it| Json::of(it.get(), is_all)),
        draft: (is_dead && payload.len() <= EDITABLE).then(|| {
            let handler = asked
                .registry()
                .ok()
                .and_then(|it| it.find(&task.task_type));
            Draft::of(
                &asked,
                handler,
                payload,
                ("task", &[("id", &id.to_string())]),
            )
        }),
        is_editing: asked.said.has("raw"),
        state: State::of(state),
        all: link("task", &[("id", &id.to_string()), ("all", "1")]),
        may_retry: is_dead || state == TaskState::Waiting,
        may_cancel: matches!(state, TaskState::Waiting | TaskState::Running),
        may_discard: is_dead,
        may_edit: is_dead,
        is_waiting: state == TaskState::Waiting,
        frame: match is_all {
            // Too much to be sent again and again.
            true => Frame::new(&asked, title, Some(now)),
            false => Frame::new(&asked, title, Some(now)).live(&asked),
        },
        task_type: task.task_type,
        id,
    })
}

/// A task that is nowhere any more, and why that is as it should be.
#[derive(Template)]
#[template(path = "dashboard/gone.html")]
struct GonePage {
    frame: Frame,
    id: i64,
    state: State,
    /// What has become of it, unless it is told above the page.
    said: Option<String>,
}

/// Says what has become of a task that was, if somebody had it run: that it is nowhere is no failure then.
fn gone(asked: &Asked, id: i64, gone: &Gone, now: DateTime<Utc>) -> Result<Answer, Failure> {
    if !gone.has_completed() {
        return Err(Failure::Missing(gone.to_string()));
    }
    let text = format!("{}.", sentence(&gone.to_string()));
    // What was done has had its effect already: that it waits is not true any more.
    let is_told_above = asked.said.has("did") && gone.has_surely_completed();
    page(&GonePage {
        frame: Frame {
            said: is_told_above.then(|| Said {
                text: text.clone(),
                may_run: None,
            }),
            ..Frame::new(asked, format!("Task {id}"), Some(now))
        },
        id,
        state: match gone.has_surely_completed() {
            true => State::of(TaskState::Completed),
            false => State {
                name: "no longer there",
                shape: "⊘",
                class: "calm",
            },
        },
        said: (!is_told_above).then_some(text),
    })
}

fn facts(task: &TaskDetails, now: DateTime<Utc>) -> Vec<Fact> {
    let filter = |filter: String| link("tasks", &[("q", &filter)]);
    let of_type = Filter::of_names(None, Some(&task.task_type)).to_string();
    let of_queue = Filter::of_names(Some(&task.queue), None).to_string();
    let most = task.max_attempts.map(|most| format!(" of {most}"));
    let mut facts = vec![
        Fact::link("Type", &task.task_type, filter(of_type)),
        Fact::link("Queue", &task.queue, filter(of_queue)),
        Fact::text("Priority", number(task.priority)),
        Fact::text(
            "Attempts",
            format!("{}{}", task.attempts, most.unwrap_or_default()),
        ),
        Fact::when("Enqueued", when(task.created_at, now)),
    ];
    if task.crashes > 0 {
        facts.push(Fact::text("Crashes", number(task.crashes)));
    }
    if task.payload_version > 0 {
        facts.push(Fact::text("Version", number(task.payload_version)));
    }
    let times = [
        (
            "Due",
            task.run_at.filter(|_| task.state == TaskState::Waiting),
        ),
        ("Claimed", task.claimed_at),
        ("Finished", task.finished_at),
    ];
    let times = times.into_iter().filter_map(|(name, at)| Some((name, at?)));
    facts.extend(times.map(|(name, at)| Fact::when(name, when(at, now))));
    if let Some(worker) = &task.worker {
        let text = format!("process {} on {}", worker.process_id, worker.host);
        facts.push(Fact::link("Worker", text, "workers".to_owned()));
        facts.push(Fact::when("Last heard of", when(worker.seen_at, now)));
    } else if let Some(worker_id) = &task.worker_id {
        facts.push(Fact::text(
            "Worker",
            format!("{worker_id}, which is not alive"),
        ));
    }
    if let Some(cause) = &task.cause {
        facts.push(Fact::link("Cause", cause, filter(format!("cause:{cause}"))));
    }
    if let Some(group_id) = task.group_id() {
        let text = format!("{group_id}, and its other members");
        facts.push(Fact::link(
            "Group",
            text,
            filter(format!("group:{group_id}")),
        ));
    }
    if let Some(key) = &task.limit_key {
        facts.push(Fact::text("Limited by", key));
    }
    facts
}

/// The newest first.
fn errors(task: &TaskDetails, now: DateTime<Utc>, is_all: bool) -> Vec<ErrorLine> {
    let most = if is_all { usize::MAX } else { SHOWN_OF_ERROR };
    let errors = task.errors.iter().rev().map(|error| {
        let (text, is_cut) = cut(&error.error, most);
        ErrorLine {
            id: format!("error-{}-{}", error.attempt, error.at.timestamp_micros()),
            attempt: error.attempt,
            at: when(error.at, now),
            text: text.to_owned(),
            is_cut,
            facts: facts_of(&error.report, now),
            chain: error.report.chain.clone(),
            backtrace: error.report.backtrace.clone(),
        }
    });
    errors.collect()
}

/// What is known of an attempt that failed.
fn facts_of(report: &AttemptReport, now: DateTime<Utc>) -> Vec<Fact> {
    let mut facts = Vec::new();
    if let Some(started) = report.started_at {
        facts.push(Fact::when("Started", when(started, now)));
        if let Some(ended) = report.ended_at {
            let took = (ended - started).as_seconds_f64();
            facts.push(Fact::text(
                "Ran for",
                match took {
                    ..1.0 => span(Duration::from_secs_f64(took.max(0.0))),
                    _ => format!("{took:.3} s"),
                },
            ));
        }
    }
    if let Some(claimed) = report.claimed_at {
        facts.push(Fact::when("Claimed", when(claimed, now)));
    }
    if let Some(worker_id) = &report.worker_id {
        facts.push(Fact::text("Worker", worker_id));
    }
    if let Some(at) = &report.panicked_at {
        facts.push(Fact::text("Panicked at", at));
        facts.extend(report.thread.as_ref().map(|it| Fact::text("Thread", it)));
    }
    facts
}

/// The newest first, each in a line: the errors stand elsewhere in full.
fn events(task: &TaskDetails, now: DateTime<Utc>) -> Vec<EventLine> {
    let events = task.timeline().into_iter().rev().map(|event| EventLine {
        at: when(event.at, now),
        text: crate::dashboard::text::line(&event.text, 160),
    });
    events.collect()
}

fn keys(task: &TaskDetails) -> Vec<String> {
    let keys = task.unique_keys.iter().map(|key| {
        let ends = key
            .ends_at
            .map(|at| format!(", until {}", at.format("%Y-%m-%d %H:%M:%S UTC")));
        format!("{} ({}{})", key.key, key.until, ends.unwrap_or_default())
    });
    keys.collect()
}

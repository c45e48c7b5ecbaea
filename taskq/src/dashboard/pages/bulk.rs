//! What is done to all that match: frozen first, then confirmed, then done, in view of everybody.

use std::time::Duration;

use askama::Template;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::dashboard::access::May;
use crate::dashboard::board::{Answer, Asked};
use crate::dashboard::failure::Failure;
use crate::dashboard::frame::{Frame, page};
use crate::dashboard::pages::act::done;
use crate::dashboard::text::{When, link, number, span, when};
use crate::error::error_text;
use crate::operate::bulk::{Bulk, BulkVerb, Retried};

/// Above so many tasks the number is to be typed.
const TYPED_ABOVE: u64 = 1_000;

/// How long the page of an operation waits for its first part to be done.
const FIRST_PART: Duration = Duration::from_secs(2);

/// Where an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Frozen,
    Running,
    Stopped,
    Ended,
}

impl Stage {
    fn of(bulk: &Bulk) -> Self {
        match (bulk.ended_at, bulk.stopped_at, bulk.began_at) {
            (Some(_), _, _) => Self::Ended,
            (_, Some(_), _) => Self::Stopped,
            (_, _, Some(_)) => Self::Running,
            _ => Self::Frozen,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Frozen => "not begun",
            Self::Running => "under way",
            Self::Stopped => "stopped",
            Self::Ended => "ended",
        }
    }

    fn class(self) -> &'static str {
        match self {
            Self::Frozen | Self::Stopped => "calm",
            Self::Running => "busy",
            Self::Ended => "good",
        }
    }
}

fn title(verb: BulkVerb) -> &'static str {
    match verb {
        BulkVerb::Retry => "Retry",
        BulkVerb::Discard => "Discard",
        BulkVerb::Cancel => "Cancel",
        BulkVerb::Reschedule => "Reschedule",
    }
}

/// Returns what is asked and said of so many tasks. `discarded` is also a state, in which they are kept.
fn asked_of(verb: BulkVerb, tasks: u64) -> String {
    let noun = if tasks == 1 { "task" } else { "tasks" };
    let tasks = format!("{} {noun}", number(tasks));
    match verb {
        BulkVerb::Discard => format!("Delete {tasks} for good"),
        verb => format!("{} {tasks}", title(verb)),
    }
}

struct BulkLine {
    id: i64,
    link: String,
    verb: &'static str,
    filter: String,
    /// What they had died of.
    died_of: Option<String>,
    states: String,
    is_of_states: bool,
    frozen: String,
    done: String,
    skipped: String,
    failed: String,
    stage: &'static str,
    class: &'static str,
    by: String,
    reason: String,
    frozen_at: When,
}

impl BulkLine {
    fn of(bulk: &Bulk, now: DateTime<Utc>) -> Self {
        let stage = Stage::of(bulk);
        Self {
            id: bulk.bulk_id,
            link: link("bulk", &[("id", &bulk.bulk_id.to_string())]),
            verb: title(bulk.verb),
            filter: bulk.filter.clone(),
            died_of: bulk.died_of.clone(),
            states: bulk.states.join(", "),
            is_of_states: bulk.states.len() > 1,
            frozen: number(bulk.frozen),
            done: number(bulk.done),
            skipped: number(bulk.skipped),
            failed: number(bulk.failed),
            stage: stage.word(),
            class: stage.class(),
            by: bulk.by.clone(),
            reason: bulk.reason.clone().unwrap_or_default(),
            frozen_at: when(bulk.frozen_at, now),
        }
    }
}

#[derive(Template)]
#[template(path = "dashboard/bulks.html")]
struct Bulks {
    frame: Frame,
    bulks: Vec<BulkLine>,
}

struct RetriedLine {
    /// Names, numbers and notes.
    figures: Vec<(&'static str, String, &'static str)>,
    /// Of how many it is told, if not of all.
    first: Option<String>,
    /// Whether some wait, and none runs.
    is_held_up: bool,
    has_died: bool,
}

#[derive(Template)]
#[template(path = "dashboard/bulk.html")]
struct BulkPage {
    frame: Frame,
    bulk: BulkLine,
    heading: String,
    /// Whether it deletes what is dead: then it says where that is now.
    deletes: bool,
    is_frozen: bool,
    is_running: bool,
    is_stopped: bool,
    is_ended: bool,
    is_empty: bool,
    is_grave: bool,
    /// What comes of it, where that is grave.
    consequence: Option<&'static str>,
    /// What is wrong with what was typed.
    wrong: Option<String>,
    /// Why it is to be done, as far as somebody has said.
    why: String,
    /// The number to be typed, if it is.
    typed: Option<String>,
    left: String,
    gone: u64,
    total: u64,
    percent: u64,
    run_at: Option<When>,
    lasted: Option<String>,
    failures: Vec<(i64, String, String)>,
    list: String,
    /// What has become of those that were retried.
    retried: Option<RetriedLine>,
}

/// Returns the names, the numbers and the notes of what has become of retried tasks.
fn figures(retried: &Retried) -> Vec<(&'static str, String, &'static str)> {
    let figures = [
        ("Completed", retried.completed, ""),
        ("Deleted", retried.discarded, "by somebody, since"),
        ("Running", retried.running, ""),
        ("Waiting", retried.waiting, "not tried yet"),
        ("Failed again", retried.failing, "to be tried again"),
        ("Dead again", retried.dead, ""),
        (
            "Refused",
            retried.refused,
            "Postgres does not take them back",
        ),
    ];
    // What is rare is told where it is there.
    let told = |(name, count, _): &(&str, u64, &str)| {
        *count > 0 || !matches!(*name, "Refused" | "Deleted")
    };
    let told = figures.into_iter().filter(told);
    told.map(|(name, count, note)| (name, number(count), note))
        .collect()
}

/// Lists the newest operations.
pub(in crate::dashboard) async fn list(asked: Asked) -> Result<Answer, Failure> {
    let reader = asked.reader()?;
    let now = reader.now().await?;
    let bulks = reader.bulks().await?;
    page(&Bulks {
        bulks: bulks.iter().map(|bulk| BulkLine::of(bulk, now)).collect(),
        frame: Frame::new(&asked, "Bulk operations", Some(now)).live(&asked),
    })
}

pub(in crate::dashboard) async fn show(asked: Asked) -> Result<Answer, Failure> {
    shown(&asked, None).await
}

/// Shows an operation, and what was wrong with its confirmation.
async fn shown(asked: &Asked, wrong: Option<String>) -> Result<Answer, Failure> {
    let reader = asked.reader()?;
    let id = asked.said.id("id")?;
    let now = reader.now().await?;
    let bulk = reader.bulk(id).await?;
    let bulk = bulk.ok_or_else(|| missing(id))?;
    let failures = match bulk.failed {
        0 => Vec::new(),
        _ => reader.bulk_failures(id).await?,
    };
    let stage = Stage::of(&bulk);
    let gone = bulk.frozen - bulk.left();
    let lasted = bulk.began_at.map(|began| {
        let end = bulk.ended_at.or(bulk.stopped_at).unwrap_or(now);
        end.signed_duration_since(began)
            .to_std()
            .unwrap_or(Duration::ZERO)
    });
    let failure = |it: &crate::operate::BulkFailure| {
        let link = link("task", &[("id", &it.task_id.to_string())]);
        (it.task_id, link, it.error.clone())
    };
    let retried = match bulk.verb {
        BulkVerb::Retry if bulk.done > 0 => Some(reader.follow_bulk(id).await?),
        _ => None,
    };
    // After a week it is not known any more.
    let retried = retried.filter(|retried| retried.followed > 0);
    let goes_on = stage != Stage::Ended || retried.is_some_and(|retried| retried.left() > 0);
    let mut frame = Frame::new(asked, format!("{} all", title(bulk.verb)), Some(now));
    if goes_on && wrong.is_none() {
        frame = frame.live(asked);
        frame.is_moving = stage == Stage::Running;
    }
    page(&BulkPage {
        frame,
        why: match wrong {
            Some(_) => asked.reason().unwrap_or_default().to_owned(),
            None => bulk.reason.clone().unwrap_or_default(),
        },
        wrong,
        is_frozen: stage == Stage::Frozen,
        is_running: stage == Stage::Running,
        is_stopped: stage == Stage::Stopped,
        is_ended: stage == Stage::Ended,
        is_empty: bulk.frozen == 0,
        is_grave: matches!(bulk.verb, BulkVerb::Discard | BulkVerb::Cancel),
        consequence: match bulk.verb {
            BulkVerb::Discard => Some("This cannot be undone."),
            BulkVerb::Cancel => {
                Some("They do not run then. They are kept as cancelled, and can be retried.")
            }
            BulkVerb::Retry | BulkVerb::Reschedule => None,
        },
        heading: asked_of(bulk.verb, bulk.frozen),
        deletes: bulk.verb == BulkVerb::Discard,
        typed: (bulk.frozen > TYPED_ABOVE).then(|| number(bulk.frozen)),
        left: number(bulk.left()),
        gone,
        total: bulk.frozen,
        percent: (gone * 100).checked_div(bulk.frozen).unwrap_or(100),
        run_at: bulk.run_at.map(|at| when(at, now)),
        lasted: lasted.map(span),
        failures: failures.iter().map(failure).collect(),
        retried: retried.map(|retried| RetriedLine {
            figures: figures(&retried),
            is_held_up: retried.running == 0 && retried.waiting > 0,
            has_died: retried.dead > 0,
            first: (retried.followed < bulk.done).then(|| number(retried.followed)),
        }),
        list: link("tasks", &[("q", &bulk.filter)]),
        bulk: BulkLine::of(&bulk, now),
    })
}

fn missing(id: i64) -> Failure {
    Failure::Missing(format!(
        "there is no operation {id}: what was frozen and has not begun is forgotten after a day"
    ))
}

/// Writes down which tasks match now. Nothing happens to them yet.
pub(in crate::dashboard) async fn freeze(asked: Asked) -> Result<Answer, Failure> {
    let operator = asked.operator(May::Bulk)?;
    let filter = asked.said.filter("q")?;
    let now = asked.reader()?.now().await?;
    let at = asked.said.moment("at", now)?;
    let mut freezing = match asked.said.required("verb")? {
        "retry" => operator.retry_all(&filter),
        "discard" => operator.discard_all(&filter),
        "cancel" => operator.cancel_all(&filter),
        "reschedule" => {
            let missing =
                || Failure::Refused("say when they are due: 30m, 2h, or a time".to_owned());
            operator.reschedule_all(&filter, at.ok_or_else(missing)?)
        }
        other => {
            return Err(Failure::Senseless(format!(
                "nothing is done to all by `{other}`"
            )));
        }
    };
    if let Some(at) = at {
        freezing = freezing.at(at);
    }
    if let Some(reason) = asked.reason() {
        freezing = freezing.because(reason);
    }
    let frozen = freezing.await?;
    Ok(Answer::See(link(
        "bulk",
        &[("id", &frozen.bulk_id.to_string())],
    )))
}

/// Has an operation begin, or go on. It goes on when the visitor has left; if this process ends, somebody has it go on.
pub(in crate::dashboard) async fn run(asked: Asked) -> Result<Answer, Failure> {
    let operator = asked.operator(May::Bulk)?;
    let id = asked.said.id("id")?;
    let bulk = asked.reader()?.bulk(id).await?.ok_or_else(|| missing(id))?;
    if Stage::of(&bulk) == Stage::Frozen && bulk.frozen > TYPED_ABOVE {
        let typed = asked.said.text("typed").unwrap_or_default();
        let typed = typed.replace([',', '.', ' ', '\''], "");
        if typed.parse() != Ok(bulk.frozen) {
            let wrong = format!("They are {} tasks: type that number.", number(bulk.frozen));
            let page = shown(&asked, Some(wrong)).await?;
            return Ok(page.again(StatusCode::UNPROCESSABLE_ENTITY));
        }
    }
    // Here, so that the visitor is told what is wrong with the reason.
    operator.begin_bulk(id, asked.reason()).await?;
    let (begins, has_begun) = oneshot::channel::<()>();
    // Not awaited at the end of the server: each part is done whole or not at all, and the rest is left in the table.
    tokio::spawn(async move {
        let mut begins = Some(begins);
        if let Err(error) = operator.run_bulk(id, |_| drop(begins.take())).await {
            let error = error_text(&error);
            tracing::warn!(
                bulk_id = id,
                error,
                "an operation on all that match has been interrupted"
            );
        }
    });
    // So that the next page shows it under way, and loads itself again where no script does.
    let _ = timeout(FIRST_PART, has_begun).await;
    Ok(Answer::See(link("bulk", &[("id", &id.to_string())])))
}

/// Has an operation rest.
pub(in crate::dashboard) async fn stop(asked: Asked) -> Result<Answer, Failure> {
    let operator = asked.operator(May::Bulk)?;
    let id = asked.said.id("id")?;
    let stopping = operator.stop_bulk(id).because_if(asked.reason());
    stopping.await?.ok_or_else(|| missing(id))?;
    done(&asked, &format!("bulk?id={id}"), "stop")
}

/// Forgets what was frozen.
pub(in crate::dashboard) async fn forget(asked: Asked) -> Result<Answer, Failure> {
    let operator = asked.operator(May::Bulk)?;
    let id = asked.said.id("id")?;
    match operator.drop_bulk(id).await? {
        true => done(&asked, "tasks", "drop"),
        false => Err(missing(id)),
    }
}

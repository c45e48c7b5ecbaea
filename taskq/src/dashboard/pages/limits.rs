//! Limits and weights: what programs declare, what somebody said instead, what is in force.

use std::time::Duration;

use askama::Template;
use chrono::{DateTime, Utc};

use crate::dashboard::access::May;
use crate::dashboard::board::{Answer, Asked};
use crate::dashboard::failure::Failure;
use crate::dashboard::frame::{Frame, page};
use crate::dashboard::pages::act::done;
use crate::dashboard::text::{When, line, link, number, when};
use crate::operate::filter::Age;
use crate::operate::limit::{EachKey, Limit, LimitScope};
use crate::operate::pause::{Queue, TaskType};
use crate::operate::sequence::Blocked;
use crate::operate::weight::KeyWeight;

struct LimitLine {
    scope: &'static str,
    name: String,
    of: String,
    kind: String,
    fields: String,
    in_force: String,
    is_nothing: bool,
    declared: String,
    said: Option<SaidLine>,
}

struct SaidLine {
    at: When,
    by: String,
    reason: String,
    until: Option<When>,
}

struct WeightLine {
    task_type: String,
    key: String,
    weight: String,
    at: When,
    by: String,
    reason: String,
}

/// A dead task at which a sequence waits.
struct BlockedLine {
    id: i64,
    link: String,
    task_type: String,
    key: String,
    waiting: String,
    frees: i64,
    state: String,
    since: When,
    error: String,
}

impl BlockedLine {
    fn of(it: &Blocked, now: DateTime<Utc>) -> Self {
        Self {
            id: it.task_id,
            link: link("task", &[("id", &it.task_id.to_string())]),
            task_type: it.task_type.clone(),
            key: it.key.clone(),
            waiting: number(it.waiting),
            frees: it.waiting,
            state: it.state.clone(),
            since: when(it.since, now),
            error: line(it.error.as_deref().unwrap_or_default(), 160),
        }
    }
}

#[derive(Template)]
#[template(path = "dashboard/limits.html")]
struct Limits {
    frame: Frame,
    limits: Vec<LimitLine>,
    weights: Vec<WeightLine>,
    blocked: Vec<BlockedLine>,
}

pub(in crate::dashboard) async fn show(asked: Asked) -> Result<Answer, Failure> {
    let reader = asked.reader()?;
    let now = reader.now().await?;
    let limits = reader.limits().await?;
    let weights = reader.weights().await?;
    let blocked = reader.blocked().await?;
    let limit = |limit: &Limit| {
        let (scope, name) = limit.scope.parts();
        let in_force = limit
            .in_force
            .map_or_else(|| "no limit".to_owned(), |it| it.to_string());
        LimitLine {
            scope,
            name: name.to_owned(),
            of: limit.scope.to_string(),
            kind: limit.kind.clone(),
            fields: limit
                .fields
                .as_ref()
                .map(|it| it.join(", "))
                .unwrap_or_default(),
            is_nothing: limit.is_nothing(),
            in_force,
            declared: limit
                .declared
                .map_or_else(|| "–".to_owned(), |it| it.to_string()),
            said: limit.overridden.as_ref().map(|said| SaidLine {
                at: when(said.at, now),
                by: said.by.clone(),
                reason: said.reason.clone().unwrap_or_default(),
                until: said.until.map(|at| when(at, now)),
            }),
        }
    };
    let weight = |it: &KeyWeight| WeightLine {
        task_type: it.task_type.clone(),
        key: it.key.to_string(),
        weight: number(it.weight),
        at: when(it.said_at, now),
        by: it.by.clone(),
        reason: it.reason.clone().unwrap_or_default(),
    };
    page(&Limits {
        limits: limits.iter().map(limit).collect(),
        weights: weights.iter().map(weight).collect(),
        // A page has room for so many.
        blocked: blocked
            .iter()
            .take(200)
            .map(|it| BlockedLine::of(it, now))
            .collect(),
        frame: Frame::new(&asked, "Limits and weights", Some(now)),
    })
}

fn scope(asked: &Asked) -> Result<LimitScope, Failure> {
    let name = asked.said.required("name")?;
    match asked.said.required("scope")? {
        "queue" => Ok(Queue(name).into()),
        "task_type" => Ok(TaskType(name).into()),
        "key" => Ok(EachKey(name).into()),
        other => Err(Failure::Senseless(format!(
            "nothing is limited by `{other}`"
        ))),
    }
}

/// Says a limit in the place of what is declared.
pub(in crate::dashboard) async fn limit(asked: Asked) -> Result<Answer, Failure> {
    let operator = asked.operator(May::Act)?;
    let said = &asked.said;
    let mut limiting = operator.limit(scope(&asked)?);
    if let Some(most) = said.number("concurrency")? {
        limiting = limiting.concurrency(most);
    }
    if let Some(most) = said.number("rate")? {
        let per = said.text("per").unwrap_or("1m");
        let per = Age::read(per).ok_or_else(|| {
            Failure::Refused(format!("`{per}` is no span of time: write 1s, 1m or 1h"))
        })?;
        limiting = limiting.rate(most, Duration::from_secs(per.seconds()));
    }
    if let Some(burst) = said.number("burst")? {
        limiting = limiting.burst(burst);
    }
    if said.has("unlimited") {
        limiting = limiting.unlimited();
    }
    if let Some(reason) = asked.reason() {
        limiting = limiting.because(reason);
    }
    let now = asked.reader()?.now().await?;
    if let Some(until) = said.moment("until", now)? {
        limiting = limiting.until(until);
    }
    if !["concurrency", "rate", "unlimited"]
        .iter()
        .any(|it| said.has(it))
    {
        let message = "say how many run at once, or how many start in a time; or lift the limit";
        return Err(Failure::Refused(message.to_owned()));
    }
    limiting.await?;
    done(&asked, "limits", "limit")
}

/// Has what is declared hold again.
pub(in crate::dashboard) async fn reset(asked: Asked) -> Result<Answer, Failure> {
    let operator = asked.operator(May::Act)?;
    let resetting = operator.reset_limits(scope(&asked)?);
    resetting.because_if(asked.reason()).await?;
    done(&asked, "limits", "reset")
}

/// Says how many tasks a turn of a key is.
pub(in crate::dashboard) async fn weight(asked: Asked) -> Result<Answer, Failure> {
    let operator = asked.operator(May::Act)?;
    let key = asked.said.required("key")?;
    let key: serde_json::Value = serde_json::from_str(key)
        .map_err(|error| Failure::Refused(format!("the key is no JSON: {error}")))?;
    let weighing = operator.weight(asked.said.required("type")?, key);
    let weighing = match asked.said.number("weight")? {
        Some(weight) => weighing.set(weight),
        None => weighing.reset(),
    };
    match asked.reason() {
        Some(reason) => weighing.because(reason).await?,
        None => weighing.await?,
    };
    done(&asked, "limits", "weight")
}

//! Deeds on one thing: a task, a queue, a type.

use crate::dashboard::access::May;
use crate::dashboard::board::{Answer, Asked};
use crate::dashboard::failure::Failure;
#[cfg(feature = "cron")]
use crate::dashboard::text::link;
use crate::operate::pause::{Queue, Schedule, Scope, TaskType};

/// Returns the page from which a form was sent, if it says so; otherwise another.
///
/// It is a page beside this one: nothing that leads to another host.
pub(super) fn back(asked: &Asked, otherwise: &str) -> String {
    let said = asked.said.text("back").unwrap_or(otherwise);
    let page = said.split('?').next().unwrap_or_default();
    let is_page = !page.is_empty() && page.bytes().all(|it| it.is_ascii_lowercase());
    let is_plain = said.bytes().all(|it| it.is_ascii_graphic());
    match is_page && is_plain {
        true => said.to_owned(),
        false => otherwise.to_owned(),
    }
}

/// Leads back, to a page that says what was done.
pub(super) fn done(asked: &Asked, otherwise: &str, word: &str) -> Result<Answer, Failure> {
    let page = back(asked, otherwise);
    let sign = if page.contains('?') { '&' } else { '?' };
    Ok(Answer::See(format!("{page}{sign}did={word}")))
}

/// Leads back, to a page that says what was done to something of this name.
#[cfg(feature = "cron")]
pub(super) fn done_to(
    asked: &Asked,
    otherwise: &str,
    word: &str,
    name: &str,
) -> Result<Answer, Failure> {
    let page = back(asked, otherwise);
    let said = link("", &[("did", word), ("did-to", name)]);
    let sign = if page.contains('?') { '&' } else { '?' };
    Ok(Answer::See(format!("{page}{sign}{}", &said[1..])))
}

pub(super) fn page_of(task_id: i64) -> String {
    format!("task?id={task_id}")
}

/// Has a task run again, now or at a time.
pub(in crate::dashboard) async fn retry(asked: Asked) -> Result<Answer, Failure> {
    let operator = asked.operator(May::Act)?;
    let task_id = asked.said.id("id")?;
    let now = asked.reader()?.now().await?;
    let acting = match asked.said.moment("at", now)? {
        Some(at) => operator.retry_at(task_id, at),
        None => operator.retry(task_id),
    };
    acting.because_if(asked.reason()).await?;
    done(&asked, &page_of(task_id), "retry")
}

/// Has one of the dead tasks that match run again, the newest, and shows what becomes of it.
pub(in crate::dashboard) async fn retry_one(asked: Asked) -> Result<Answer, Failure> {
    let operator = asked.operator(May::Act)?;
    let task_id = operator.newest_dead(&asked.said.filter("q")?).await?;
    let retrying = operator.retry(task_id);
    retrying.because_if(asked.reason()).await?;
    Ok(Answer::See(format!("{}&did=one", page_of(task_id))))
}

/// Cancels a task.
pub(in crate::dashboard) async fn cancel(asked: Asked) -> Result<Answer, Failure> {
    let operator = asked.operator(May::Act)?;
    let task_id = asked.said.id("id")?;
    operator.cancel(task_id).because_if(asked.reason()).await?;
    done(&asked, &page_of(task_id), "cancel")
}

/// Deletes a dead task.
pub(in crate::dashboard) async fn discard(asked: Asked) -> Result<Answer, Failure> {
    let operator = asked.operator(May::Act)?;
    let task_id = asked.said.id("id")?;
    operator.discard(task_id).because_if(asked.reason()).await?;
    Ok(Answer::See("tasks?q=state%3Adead&did=discard".to_owned()))
}

/// Has a sequence go on without its dead task.
pub(in crate::dashboard) async fn skip_dead(asked: Asked) -> Result<Answer, Failure> {
    let operator = asked.operator(May::Act)?;
    let task_id = asked.said.id("id")?;
    let mut skip = operator.skip_dead(task_id);
    if let Some(reason) = asked.reason() {
        skip = skip.because(reason);
    }
    match asked.said.number("frees")? {
        Some(frees) => skip.frees(frees).await?,
        None => skip.await?,
    };
    done(&asked, "overview", "skip")
}

/// Has Postgres take back a refused task, or all of them.
pub(in crate::dashboard) async fn take_back(asked: Asked) -> Result<Answer, Failure> {
    if asked.said.has("all") {
        let operator = asked.operator(May::Bulk)?;
        let ended = operator.take_back_all(asked.reason()).await?;
        return match ended.still_refused.is_empty() {
            true => done(&asked, "overview", "back"),
            false => Err(Failure::Refused(ended.to_string())),
        };
    }
    let operator = asked.operator(May::Act)?;
    let task_id = asked.said.id("id")?;
    let taking = operator.take_back(task_id);
    match taking.because_if(asked.reason()).await? {
        Some(task_id) => done(&asked, &page_of(task_id), "back"),
        None => Err(Failure::Missing(format!("task {task_id} is not refused"))),
    }
}

/// Ends a session of the database that has a transaction open.
pub(in crate::dashboard) async fn end_session(asked: Asked) -> Result<Answer, Failure> {
    let operator = asked.operator(May::Act)?;
    let process_id: Option<i32> = asked.said.number("process")?;
    let missing = || Failure::Senseless("say which `process`".to_owned());
    let ending = operator.end_session(process_id.ok_or_else(missing)?);
    ending.because_if(asked.reason()).await?;
    done(&asked, "overview", "ended")
}

fn scope(asked: &Asked) -> Result<Scope, Failure> {
    let name = asked.said.required("name")?;
    match asked.said.required("scope")? {
        "queue" => Ok(Queue(name).into()),
        "task_type" => Ok(TaskType(name).into()),
        "schedule" => Ok(Schedule(name).into()),
        other => Err(Failure::Senseless(format!(
            "nothing is paused by `{other}`"
        ))),
    }
}

/// Pauses a queue, a type or a schedule.
pub(in crate::dashboard) async fn pause(asked: Asked) -> Result<Answer, Failure> {
    let operator = asked.operator(May::Act)?;
    let mut pausing = operator.pause(scope(&asked)?);
    if let Some(reason) = asked.reason() {
        pausing = pausing.because(reason);
    }
    let now = asked.reader()?.now().await?;
    if let Some(until) = asked.said.moment("until", now)? {
        pausing = pausing.until(until);
    }
    pausing.await?;
    done(&asked, "queues", "pause")
}

/// Ends a pause.
pub(in crate::dashboard) async fn resume(asked: Asked) -> Result<Answer, Failure> {
    let operator = asked.operator(May::Act)?;
    let resuming = operator.resume(scope(&asked)?);
    let former = resuming.because_if(asked.reason()).await?;
    let word = if former.is_some() { "resume" } else { "awake" };
    done(&asked, "queues", word)
}

//! Payloads that somebody writes: for a new task, and for a dead one that runs again.

use askama::Template;
use serde_json::value::RawValue;

use super::act::done;
use crate::dashboard::access::May;
use crate::dashboard::board::{Answer, Asked};
use crate::dashboard::failure::Failure;
use crate::dashboard::frame::{Frame, page};
use crate::dashboard::text::link;
use crate::error::error_text;
use crate::task::declaration::Registration;
use crate::task::registry::Registry;
use crate::task::unique::EnqueueOutcome;

struct Declared {
    name: String,
    link: String,
    queue: String,
    place: String,
    is_chosen: bool,
}

#[derive(Template)]
#[template(path = "dashboard/enqueue.html")]
struct Enqueue {
    frame: Frame,
    types: Vec<Declared>,
    chosen: String,
    queue: String,
    /// The JSON Schema of its payload, where it is known.
    schema: Option<String>,
    is_unknown: bool,
}

pub(in crate::dashboard) async fn show(asked: Asked) -> Result<Answer, Failure> {
    asked.require(May::Look)?;
    // Whether or not the types make sense together, a task can be enqueued.
    let registry = asked.registry().ok();
    let chosen = asked.said.text("type").unwrap_or_default();
    let handler = registry.and_then(|it| it.find(chosen));
    let types = registry
        .into_iter()
        .flat_map(Registry::handlers)
        .map(|handler| Declared {
            name: handler.task_type.to_owned(),
            link: link("enqueue", &[("type", handler.task_type)]),
            queue: handler.options.queue.to_owned(),
            place: handler.place(),
            is_chosen: handler.task_type == chosen,
        });
    page(&Enqueue {
        frame: Frame::new(&asked, "Enqueue", None),
        types: types.collect(),
        queue: handler
            .map(|it| it.options.queue.to_owned())
            .unwrap_or_default(),
        schema: handler.and_then(schema),
        is_unknown: !chosen.is_empty() && handler.is_none(),
        chosen: chosen.to_owned(),
    })
}

#[cfg(feature = "schemars")]
fn schema(handler: &Registration) -> Option<String> {
    let schema = (handler.json_schema)()?;
    serde_json::to_string_pretty(schema.as_value()).ok()
}

#[cfg(not(feature = "schemars"))]
fn schema(_: &Registration) -> Option<String> {
    None
}

/// Returns the payload that a form gives.
fn payload(asked: &Asked) -> Result<Box<RawValue>, Failure> {
    let payload = asked.said.text("payload").unwrap_or("{}");
    RawValue::from_string(payload.to_owned())
        .map_err(|error| Failure::Refused(format!("the payload is no JSON: {error}")))
}

/// Decodes a payload as the handler of its type would, and returns that; `None` if the form says not to.
fn checked<'a>(
    asked: &'a Asked,
    task_type: &str,
    payload: &RawValue,
) -> Result<Option<&'a Registration>, Failure> {
    if asked.said.has("unchecked") {
        return Ok(None);
    }
    let registry = asked.registry()?;
    let Some(handler) = registry.find(task_type) else {
        let similar = registry.similar_to(task_type);
        let similar = similar.map_or_else(String::new, |it| format!("; did you mean `{it}`?"));
        return Err(Failure::Refused(format!(
            "this program has no task type `{task_type}`{similar} (say \"unchecked\" to take the payload as it is)"
        )));
    };
    match (handler.decode)(payload, Some(handler.options.version)) {
        Ok(()) => Ok(Some(handler)),
        Err(error) => Err(Failure::Refused(format!(
            "the payload does not fit `{task_type}`: {}",
            error_text(&error)
        ))),
    }
}

/// Enqueues a task by the name of its type.
pub(in crate::dashboard) async fn enqueue(asked: Asked) -> Result<Answer, Failure> {
    let operator = asked.operator(May::Act)?;
    let said = &asked.said;
    let task_type = said.required("type")?;
    let payload = payload(&asked)?;
    let mut task = operator.enqueue(task_type, payload.clone());
    if let Some(handler) = checked(&asked, task_type, &payload)? {
        task = task.declared(&handler.options);
    }
    if let Some(queue) = said.text("queue") {
        task = task.queue(queue);
    }
    if let Some(priority) = said.number("priority")? {
        task = task.priority(priority);
    }
    let now = asked.reader()?.now().await?;
    if let Some(at) = said.moment("at", now)? {
        task = task.at(at);
    }
    if let Some(reason) = asked.reason() {
        task = task.because(reason);
    }
    let (task_id, outcome) = task.await?;
    let word = match outcome {
        EnqueueOutcome::Created => "enqueue",
        EnqueueOutcome::Existing => "exists",
        EnqueueOutcome::Replaced => "replaced",
    };
    Ok(Answer::See(format!("task?id={task_id}&did={word}")))
}

/// Gives a dead task another payload, and has it run again.
pub(in crate::dashboard) async fn edit(asked: Asked) -> Result<Answer, Failure> {
    let operator = asked.operator(May::Act)?;
    let reader = asked.reader()?;
    let task_id = asked.said.id("id")?;
    let payload = payload(&asked)?;
    let missing = || Failure::Missing(format!("there is no task {task_id}"));
    let task = reader.show(task_id).await?.ok_or_else(missing)?;
    let mut editing = operator.edit(task_id, payload.clone());
    // For its handler to read: nothing of it is shown.
    let edited = operator.edited_payload(task_id, &payload).await?;
    if let Some(handler) = checked(&asked, &task.task_type, &edited)? {
        editing = editing.version(handler.options.version);
    }
    let now = reader.now().await?;
    if let Some(at) = asked.said.moment("at", now)? {
        editing = editing.at(at);
    }
    if let Some(reason) = asked.reason() {
        editing = editing.because(reason);
    }
    editing.await?;
    done(&asked, &format!("task?id={task_id}"), "edit")
}

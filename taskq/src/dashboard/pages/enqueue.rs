//! Payloads that somebody writes: for a new task, and for a dead one that runs again.

use askama::Template;

use super::act::done;
use super::draft::{Draft, schema};
use crate::dashboard::access::May;
use crate::dashboard::board::{Answer, Asked};
use crate::dashboard::failure::Failure;
use crate::dashboard::form::Control;
use crate::dashboard::frame::{Frame, page};
use crate::dashboard::text::{link, pretty};
use crate::operate::show::TaskDetails;
use crate::task::registration::Registration;
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
    draft: Draft,
    /// The JSON Schema of its payload, where it is known.
    schema: Option<String>,
    is_unknown: bool,
}

impl Enqueue {
    fn of(asked: &Asked, handler: Option<&Registration>, draft: Draft) -> Self {
        // Whether or not the types make sense together, a task can be enqueued.
        let registry = asked.registry().ok();
        let chosen = asked.said.text("type").unwrap_or_default();
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
        Self {
            frame: Frame::new(asked, "Enqueue", None),
            types: types.collect(),
            queue: handler
                .map(|it| it.options.queue.to_owned())
                .unwrap_or_default(),
            schema: handler.and_then(schema).map(|it| pretty(&it.to_string())),
            is_unknown: !chosen.is_empty() && handler.is_none(),
            chosen: chosen.to_owned(),
            draft,
        }
    }
}

fn handler<'a>(asked: &'a Asked, task_type: &str) -> Option<&'a Registration> {
    asked.registry().ok()?.find(task_type)
}

pub(in crate::dashboard) async fn show(asked: Asked) -> Result<Answer, Failure> {
    asked.require(May::Look)?;
    let chosen = asked.said.text("type").unwrap_or_default();
    let handler = handler(&asked, chosen);
    let draft = Draft::of(&asked, handler, "{}", ("enqueue", &[("type", chosen)]));
    page(&Enqueue::of(&asked, handler, draft))
}

/// Enqueues a task by the name of its type. If that fails, what was typed is there again.
pub(in crate::dashboard) async fn enqueue(asked: Asked) -> Result<Answer, Failure> {
    asked.require(May::Act)?;
    let handler = handler(&asked, asked.said.text("type").unwrap_or_default());
    let mut draft = Draft::sent(&asked, handler);
    match try_enqueue(&asked, &mut draft).await {
        Ok(answer) => Ok(answer),
        Err(failure) => {
            draft.problem = Some(failure.text());
            Ok(page(&Enqueue::of(&asked, handler, draft))?.again(failure.status()))
        }
    }
}

async fn try_enqueue(asked: &Asked, draft: &mut Draft) -> Result<Answer, Failure> {
    let operator = asked.operator(May::Act)?;
    let said = &asked.said;
    let task_type = said.required("type")?;
    let payload = draft.payload()?;
    let mut task = operator.enqueue(task_type, payload.clone());
    if let Some(handler) = draft.checked(asked, task_type, &payload)? {
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

#[derive(Template)]
#[template(path = "dashboard/edit.html")]
struct Edit {
    frame: Frame,
    id: i64,
    task_type: String,
    draft: Draft,
}

/// Gives a dead task another payload, and has it run again. If that fails, what was typed is there again.
pub(in crate::dashboard) async fn edit(asked: Asked) -> Result<Answer, Failure> {
    asked.require(May::Act)?;
    let id = asked.said.id("id")?;
    let task = asked.reader()?.show(id).await?;
    let task = task.ok_or_else(|| Failure::Missing(format!("there is no task {id}")))?;
    let mut draft = Draft::sent(&asked, handler(&asked, &task.task_type));
    match try_edit(&asked, &task, &mut draft).await {
        Ok(answer) => Ok(answer),
        Err(failure) => {
            draft.problem = Some(failure.text());
            let edit = Edit {
                frame: Frame::new(&asked, format!("Edit task {id}"), None),
                id,
                task_type: task.task_type,
                draft,
            };
            Ok(page(&edit)?.again(failure.status()))
        }
    }
}

async fn try_edit(asked: &Asked, task: &TaskDetails, draft: &mut Draft) -> Result<Answer, Failure> {
    let operator = asked.operator(May::Act)?;
    let payload = draft.payload()?;
    let mut editing = operator.edit(task.task_id, payload.clone());
    // For its handler to read: nothing of it is shown.
    let edited = operator.edited_payload(task.task_id, &payload).await?;
    if let Some(handler) = draft.checked(asked, &task.task_type, &edited)? {
        editing = editing.version(handler.options.version);
    }
    let now = asked.reader()?.now().await?;
    if let Some(at) = asked.said.moment("at", now)? {
        editing = editing.at(at);
    }
    if let Some(reason) = asked.reason() {
        editing = editing.because(reason);
    }
    editing.await?;
    done(asked, &format!("task?id={}", task.task_id), "edit")
}

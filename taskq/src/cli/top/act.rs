//! Does what somebody has said yes to, and tells how it went.

use tokio::sync::mpsc::Sender;

use super::ask::{Effect, short};
use crate::cli::show;
use crate::error::{OperateError, error_text};
use crate::operate::bulk::{Bulk, BulkVerb};
use crate::operate::filter::Filter;
use crate::operate::pause::Operator;

/// What has come of an effect.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is done, or goes on, and this says how.
    Done(String),
    Failed(String),
    /// So many would be treated: is that meant?
    Frozen(Bulk),
    /// A text to be read, under a title.
    Text(String, String),
}

/// Does it beside the screen, which goes on.
pub(super) fn act(operator: &Operator, effect: Effect, listener: Sender<Outcome>) {
    let operator = operator.clone();
    // It ends with what it does; nobody waits for it when the screen is left.
    tokio::spawn(async move {
        let outcome = match done(&operator, effect, &listener).await {
            Ok(outcome) => outcome,
            Err(error) => Outcome::Failed(error_text(&error)),
        };
        let _ = listener.send(outcome).await;
    });
}

async fn done(
    operator: &Operator,
    effect: Effect,
    listener: &Sender<Outcome>,
) -> Result<Outcome, OperateError> {
    let said = match effect {
        Effect::Nothing | Effect::Quit => return Ok(Outcome::Done(String::new())),
        Effect::Show(task_id) => return shown(operator, task_id).await,
        Effect::Freeze(verb, filter) => return frozen(operator, verb, &filter).await,
        Effect::Run(bulk_id) => {
            let tell = |bulk: &Bulk| _ = listener.try_send(Outcome::Done(bulk.to_string()));
            operator.run_bulk(bulk_id, tell).await?.to_string()
        }
        Effect::Drop(bulk_id) => {
            operator.drop_bulk(bulk_id).await?;
            "nothing has changed".to_owned()
        }
        Effect::Pause(scope, reason) => {
            let pausing = operator.pause(scope.clone());
            match reason {
                Some(reason) => pausing.because(reason).await?,
                None => pausing.await?,
            };
            format!("{scope} is paused")
        }
        Effect::Resume(scope) => match operator.resume(scope.clone()).await? {
            Some(_) => format!("{scope} is resumed"),
            None => format!("{scope} was not paused; tab chooses the other"),
        },
        Effect::Cancel(task_id, reason) => {
            let acting = operator.cancel(task_id);
            let was = match reason {
                Some(reason) => acting.because(reason).await?,
                None => acting.await?,
            };
            format!("task {task_id} is cancelled: it was {was}")
        }
        Effect::ResetLimits(scope) => {
            let former = operator.reset_limits(scope.clone()).await?;
            match former.is_empty() {
                true => format!("{scope}: nobody has overridden its limits"),
                false => format!("{scope} is limited as programs declare"),
            }
        }
        Effect::EndSession(process_id) => match operator.end_session(process_id).await? {
            true => format!("session {process_id} is ended"),
            false => format!("session {process_id} has ended by itself"),
        },
        Effect::Stop(worker_id, reason) => {
            let stopping = operator.stop_worker(worker_id);
            match reason {
                Some(reason) => stopping.because(reason).await?,
                None => stopping.await?,
            };
            format!("worker {} is asked to stop", short(worker_id))
        }
    };
    Ok(Outcome::Done(said))
}

async fn shown(operator: &Operator, task_id: i64) -> Result<Outcome, OperateError> {
    let Some(task) = operator.show(task_id).await? else {
        return Ok(Outcome::Failed(format!("task {task_id} is gone")));
    };
    let text = show::text(&task).unwrap_or_default();
    let (title, rest) = text.split_once("\n\n").unwrap_or(("task", &text));
    Ok(Outcome::Text(title.to_owned(), rest.to_owned()))
}

async fn frozen(
    operator: &Operator,
    verb: BulkVerb,
    filter: &str,
) -> Result<Outcome, OperateError> {
    let filter: Filter = match filter.parse() {
        Ok(filter) => filter,
        Err(error) => return Ok(Outcome::Failed(error_text(&error))),
    };
    let freezing = match verb {
        BulkVerb::Discard => operator.discard_all(&filter),
        BulkVerb::Cancel => operator.cancel_all(&filter),
        _ => operator.retry_all(&filter),
    };
    Ok(Outcome::Frozen(freezing.await?))
}

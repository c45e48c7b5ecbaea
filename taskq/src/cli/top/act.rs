//! Does what somebody has said yes to, and tells how it went.

use tokio::sync::mpsc::Sender;

use super::ask::{Effect, short};
use crate::cli::said::seconds;
use crate::cli::{log, show};
use crate::error::{OperateError, error_text};
use crate::operate::bulk::{Bulk, BulkVerb};
use crate::operate::doctor::Ailment;
use crate::operate::filter::{Filter, FilterError};
use crate::operate::moment::Moment;
use crate::operate::pause::Operator;
use crate::operate::remedy::Remedy;

/// How many of the newest log lines of an attempt are shown.
const SHOWN_OF_LOG: usize = 100;

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
        Effect::Mend(remedy, reason) => mended(operator, remedy, reason).await?,
        Effect::Acknowledge(it, reason, until) => {
            acknowledged(operator, &it, reason, until).await?
        }
        Effect::Cancel(task_id, reason) => {
            let was = operator.cancel(task_id).because_if(reason).await?;
            format!("task {task_id} is cancelled: it was {was}")
        }
        Effect::Stop(worker_id, reason) => {
            operator.stop_worker(worker_id).because_if(reason).await?;
            format!("worker {} is asked to stop", short(worker_id))
        }
    };
    Ok(Outcome::Done(said))
}

/// Does what mends a trouble. What counts tasks first is asked before: it does not come here.
async fn mended(
    operator: &Operator,
    remedy: Remedy,
    reason: Option<String>,
) -> Result<String, OperateError> {
    Ok(match remedy {
        Remedy::Resume(scope) => {
            let resuming = operator.resume(scope.clone());
            match resuming.because_if(reason).await? {
                Some(_) => format!("{scope} is resumed"),
                None => format!("{scope} was not paused; tab chooses the other"),
            }
        }
        Remedy::ResetLimits(scope) => {
            let resetting = operator.reset_limits(scope.clone());
            let former = resetting.because_if(reason).await?;
            match former.is_empty() {
                true => format!("{scope}: nobody has overridden its limits"),
                false => format!("{scope} is limited as programs declare"),
            }
        }
        Remedy::Cancel(task_id) => {
            let was = operator.cancel(task_id).because_if(reason).await?;
            format!("task {task_id} is cancelled: it was {was}")
        }
        Remedy::SkipDead { task_id, frees } => {
            let skipping = operator.skip_dead(task_id).frees(frees);
            let skipped = match reason {
                Some(reason) => skipping.because(reason).await?,
                None => skipping.await?,
            };
            format!("goes on: {skipped}")
        }
        Remedy::RetryOne(filter) => {
            let filter: Filter =
                filter
                    .parse()
                    .map_err(|error: FilterError| OperateError::Refused {
                        message: error.to_string(),
                    })?;
            let task_id = operator.newest_dead(&filter).await?;
            operator.retry(task_id).because_if(reason).await?;
            format!("task {task_id} waits to run; the others are as they were")
        }
        Remedy::TakeBackAll => operator.take_back_all(reason.as_deref()).await?.to_string(),
        Remedy::EndSession(process_id) => {
            let ending = operator.end_session(process_id);
            ending.because_if(reason).await?;
            format!("session {process_id} is ended")
        }
        Remedy::ForgetWorker(worker_id) => {
            operator.forget_worker(worker_id).because_if(reason).await?;
            format!("worker {} is forgotten", short(worker_id))
        }
        #[cfg(feature = "cron")]
        Remedy::RunSchedule(name) => {
            let task_id = operator.run_schedule(&name).because_if(reason).await?;
            format!("task {task_id} of schedule {name} is enqueued")
        }
        #[cfg(feature = "cron")]
        Remedy::RemoveSchedule(name) => {
            let removed = operator.remove_schedule(&name).because_if(reason).await?;
            removed.said(&name)
        }
        #[cfg(not(feature = "cron"))]
        Remedy::RunSchedule(_) | Remedy::RemoveSchedule(_) => {
            let message = "this program has not the feature cron".to_owned();
            return Err(OperateError::Refused { message });
        }
        Remedy::Unacknowledge(it) => {
            let again = operator.unacknowledge(&it.problem, &it.subject);
            again.because_if(reason).await?;
            format!("counts again: {}", it.said)
        }
        // These are asked in a way of their own.
        Remedy::RetryAll(_) | Remedy::CancelAll(_) | Remedy::Acknowledge(_) => String::new(),
    })
}

async fn acknowledged(
    operator: &Operator,
    it: &Ailment,
    reason: Option<String>,
    until: Option<Moment>,
) -> Result<String, OperateError> {
    let mut acknowledging = operator.acknowledge(&it.problem, &it.subject, it.severity);
    let mut counts_again = String::new();
    if let Some(until) = until {
        let no_time = || OperateError::Refused {
            message: "that is after the end of all time".to_owned(),
        };
        let until = until.seen_from(operator.now().await?).ok_or_else(no_time)?;
        acknowledging = acknowledging.until(until);
        counts_again = format!("; it counts again at {}", seconds(&until));
    }
    acknowledging.because_if(reason).await?;
    Ok(format!("acknowledged: {}{counts_again}", it.said))
}

async fn shown(operator: &Operator, task_id: i64) -> Result<Outcome, OperateError> {
    let Some(task) = operator.show(task_id).await? else {
        let gone = operator.gone(task_id).await?;
        return Ok(Outcome::Failed(gone.to_string()));
    };
    // The frame folds its lines.
    let mut text = show::text(&task, usize::MAX).unwrap_or_default();
    if task.log_lines > 0 {
        let logs = operator.newest_logs(task_id, SHOWN_OF_LOG).await?;
        let _ = log::write(&mut text, task_id, &logs);
    }
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

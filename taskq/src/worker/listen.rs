//! Hearing of new tasks while idle, and hearing operators.
//!
//! One connection listens on two channels. The one that is named like the schema carries the names of
//! queues that have new tasks; what comes on the other, [`operators`] understands. Both carry hints: what
//! is missed, because the connection was down or the race described in `claim` was lost, polling finds.
//! After a reconnect the worker scans all queues, since the notifications of that time are gone.
//!
//! What is paused is read on the same connection, once it listens: so no change is missed in between.
//!
//! A connection that only listens sends nothing. A network that has swallowed it, as a firewall does with what
//! was silent for long, would never be noticed. So it reads the pauses whenever it has heard nothing for a while.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgListener, PgNotification};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::cancel;
use super::operators::{self, Message, Wake};
use super::shared::Core;
use super::trouble::Said;
use super::{limits, pauses};
use crate::store::{self, knock};

/// How long to wait before connecting anew after a failure.
const RECONNECT: Duration = Duration::from_secs(1);

/// After so much silence the connection is asked whether it is still there…
const SILENCE: Duration = Duration::from_secs(10);

/// … and has so long to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Passes notifications on until `done`.
pub(crate) async fn listen(
    core: Arc<Core>,
    wakes: mpsc::UnboundedSender<Wake>,
    done: CancellationToken,
) {
    let mut has_failed = false;
    loop {
        tokio::select! {
            () = done.cancelled() => return,
            result = listen_once(&core, &wakes, has_failed) => {
                let Err(error) = result;
                has_failed = true;
                core.pauses.record_heard(false);
                core.limits.record_heard(false);
                if let Some(Said { error, again }) = core.trouble("listen", &error) {
                    tracing::warn!(error, "cannot listen for notifications; polling meanwhile{again}");
                }
            }
        }
        tokio::select! {
            () = done.cancelled() => return,
            () = sleep(RECONNECT.mul_f64(0.5 + fastrand::f64())) => {}
        }
    }
}

async fn listen_once(
    core: &Core,
    wakes: &mpsc::UnboundedSender<Wake>,
    has_failed: bool,
) -> Result<std::convert::Infallible, sqlx::Error> {
    let schema = core.settings.schema;
    let operators = schema.operators_channel();
    if has_failed {
        knock(&core.pool).await?;
    }
    let mut listener = PgListener::connect_with(&core.pool).await?;
    listener.listen_all([schema.name, &operators]).await?;
    read(core, &mut listener).await?;
    let mut wake = Some(match has_failed {
        true => Wake::AllQueues,
        false => Wake::Listening,
    });
    loop {
        if let Some(wake) = wake {
            // The receiver is gone only when the worker is stopping.
            let _ = wakes.send(wake);
        }
        wake = match timeout(SILENCE, listener.try_recv()).await {
            Ok(Ok(Some(notification))) => match route(core, &notification, &operators) {
                Some(Message::Scan(wake)) => Some(wake),
                Some(Message::Pauses) => {
                    read_pauses(core, &mut listener).await?;
                    // Even if the claimer has read them meanwhile: one of its queues may be waiting.
                    Some(Wake::AllQueues)
                }
                Some(Message::Cancel(task_id)) => {
                    cancel::take(core, task_id);
                    None
                }
                Some(Message::Stop(worker)) => {
                    if worker == core.worker_id {
                        core.stop.asked.cancel();
                    }
                    None
                }
                Some(Message::Schedules) => {
                    #[cfg(feature = "cron")]
                    core.schedules.record_changed();
                    None
                }
                Some(Message::Limits) => {
                    read_limits(core, &mut listener).await?;
                    limits::have_changed(core);
                    Some(Wake::Limits)
                }
                Some(Message::Wake { worker, queue }) => {
                    (worker == core.worker_id).then_some(Wake::Limited(queue))
                }
                None => None,
            },
            Ok(Ok(None)) => {
                tracing::debug!("listener reconnected; scanning all queues");
                read(core, &mut listener).await?;
                Some(Wake::AllQueues)
            }
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                let have_changed = read(core, &mut listener).await?;
                have_changed.then_some(Wake::AllQueues)
            }
        };
    }
}

/// Reads what is paused and what is limited. Returns whether that has changed. Fails if the connection does not answer.
async fn read(core: &Core, listener: &mut PgListener) -> Result<bool, sqlx::Error> {
    let limits_have = read_limits(core, listener).await?;
    let pauses_have = read_pauses(core, listener).await?;
    Ok(limits_have || pauses_have)
}

async fn read_limits(core: &Core, listener: &mut PgListener) -> Result<bool, sqlx::Error> {
    let reading = core.limits.begin_reading();
    let scopes = in_time(store::read_limits(listener, core.settings.schema)).await?;
    let have_changed = limits::record(core, reading, scopes);
    core.limits.record_heard(true);
    Ok(have_changed)
}

/// Reads what is paused. Returns whether that has changed. Fails if the connection does not answer.
async fn read_pauses(core: &Core, listener: &mut PgListener) -> Result<bool, sqlx::Error> {
    let reading = core.pauses.begin_reading();
    let held = in_time(store::read_pauses(listener, core.settings.schema)).await?;
    let have_changed = pauses::record(core, reading, held);
    core.pauses.record_heard(true);
    Ok(have_changed)
}

async fn in_time<T>(
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    match timeout(ANSWER_LIMIT, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(sqlx::Error::Io(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("the connection that listens did not answer within {ANSWER_LIMIT:?}"),
        ))),
    }
}

fn route(core: &Core, notification: &PgNotification, operators: &str) -> Option<Message> {
    if notification.channel() != operators {
        let queue = notification.payload().to_owned();
        return Some(Message::Scan(Wake::Queue(queue)));
    }
    let message = operators::hear(notification.payload());
    if matches!(message, Some(Message::Scan(_))) {
        core.brakes.probe_now(Instant::now());
    }
    message
}

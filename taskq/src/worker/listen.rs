//! Hearing of new tasks while asleep.
//!
//! One connection listens on a channel named like the schema; a notification carries the name of a
//! queue. It is a hint: whatever is missed, because the connection was down or the race described in
//! `claim` was lost, polling finds. After a reconnect all queues are looked at once, since
//! notifications of that time are gone.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::shared::Core;

/// How long to wait before connecting anew after a failure.
const RECONNECT: Duration = Duration::from_secs(1);

/// Who should look for tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wake {
    Queue(String),
    AllQueues,
}

/// Passes notifications on until `done`.
pub(crate) async fn listen(
    core: Arc<Core>,
    wakes: mpsc::UnboundedSender<Wake>,
    done: CancellationToken,
) {
    loop {
        tokio::select! {
            () = done.cancelled() => return,
            result = listen_once(&core, &wakes) => {
                let Err(error) = result;
                tracing::warn!(%error, "listening failed; polling meanwhile");
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
) -> Result<std::convert::Infallible, sqlx::Error> {
    let mut listener = PgListener::connect_with(&core.pool).await?;
    listener.listen(core.settings.schema.name).await?;
    let mut wake = Wake::AllQueues;
    loop {
        // The receiver is gone only when the worker is stopping.
        let _ = wakes.send(wake);
        wake = match listener.try_recv().await? {
            Some(notification) => Wake::Queue(notification.payload().to_owned()),
            None => {
                tracing::debug!("listener reconnected; looking at all queues");
                Wake::AllQueues
            }
        };
    }
}

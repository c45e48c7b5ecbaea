//! Hearing of new tasks while idle, and hearing operators.
//!
//! One connection listens on two channels. The one that is named like the schema carries the names of
//! queues that have new tasks; what comes on the other, [`operators`] understands. Both carry hints: what
//! is missed, because the connection was down or the race described in `claim` was lost, polling finds.
//! After a reconnect the worker scans all queues, since the notifications of that time are gone.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgListener, PgNotification};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::operators::{self, Wake};
use super::shared::Core;
use super::trouble::Said;

/// How long to wait before connecting anew after a failure.
const RECONNECT: Duration = Duration::from_secs(1);

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
) -> Result<std::convert::Infallible, sqlx::Error> {
    let schema = core.settings.schema;
    let operators = schema.operators_channel();
    let mut listener = PgListener::connect_with(&core.pool).await?;
    listener.listen_all([schema.name, &operators]).await?;
    let mut wake = Some(Wake::AllQueues);
    loop {
        if let Some(wake) = wake {
            // The receiver is gone only when the worker is stopping.
            let _ = wakes.send(wake);
        }
        wake = match listener.try_recv().await? {
            Some(notification) => route(&notification, &operators),
            None => {
                tracing::debug!("listener reconnected; scanning all queues");
                Some(Wake::AllQueues)
            }
        };
    }
}

fn route(notification: &PgNotification, operators: &str) -> Option<Wake> {
    if notification.channel() == operators {
        operators::hear(notification.payload())
    } else {
        Some(Wake::Queue(notification.payload().to_owned()))
    }
}

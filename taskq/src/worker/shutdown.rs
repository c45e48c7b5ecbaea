//! Stopping: the signals that ask for it, and the two stages in which it happens.

use std::fmt;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The two stages of a stop, and what may begin the first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop {
    /// Stop claiming; handlers go on.
    pub(crate) gently: CancellationToken,
    /// Somebody has asked the worker to stop, from elsewhere.
    pub(crate) asked: CancellationToken,
    /// Stop handlers too, and hand their tasks back.
    pub(crate) now: CancellationToken,
}

/// What the future given to [`run_until`](crate::Worker::run_until) may end with: a second wait,
/// whose end stops handlers without waiting out the grace period. `()` means that there is none.
pub trait StopNow: Send {
    /// Waits until there is no more time to be graceful.
    fn stop_now(self) -> impl Future<Output = ()> + Send;
}

impl StopNow for () {
    async fn stop_now(self) {
        std::future::pending().await
    }
}

/// The rest of the signals, once the first has come. [`shutdown_signal`] ends with it.
pub struct NextSignal {
    signals: Option<Signals>,
}

impl StopNow for NextSignal {
    async fn stop_now(self) {
        match self.signals {
            Some(mut signals) => signals.recv().await,
            None => std::future::pending().await,
        }
    }
}

impl fmt::Debug for NextSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NextSignal").finish_non_exhaustive()
    }
}

/// Waits for SIGINT or SIGTERM: what a supervisor sends and what Ctrl-C sends.
///
/// Given to [`run_until`](crate::Worker::run_until), the first signal stops the worker gracefully and
/// a second one at once.
///
/// # Cancel safety
///
/// Cancel safe. A signal that comes after the future was dropped does nothing: it does not end the process
/// either, because the handler of the signal stays installed.
pub async fn shutdown_signal() -> NextSignal {
    match Signals::install() {
        Ok(mut signals) => {
            signals.recv().await;
            NextSignal {
                signals: Some(signals),
            }
        }
        Err(error) => {
            tracing::error!(%error, "cannot listen for signals: the worker runs until it is killed");
            std::future::pending().await
        }
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn install() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn recv(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

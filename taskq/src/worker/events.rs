//! A stream of what a worker does, for whoever listens.
//!
//! It is a ring: whoever reads too slowly loses the oldest events and is told how many, and the worker waits for nobody.
//! While nobody listens nothing is made and nothing sent.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use uuid::Uuid;

use crate::attempt::ended::EndedAttempt;

/// How many events wait for a subscriber before it loses the oldest.
const CAPACITY: usize = 16_384;

/// Something that a worker has done.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// The worker runs.
    WorkerStarted {
        /// The worker.
        worker_id: Uuid,
    },
    /// The worker claims nothing more, and lets what runs come to its end.
    WorkerStopping {
        /// The worker.
        worker_id: Uuid,
    },
    /// The worker has ended. This is its last event.
    WorkerStopped {
        /// The worker.
        worker_id: Uuid,
    },
    /// An attempt has ended, and what became of its task is written.
    AttemptEnded(Arc<EndedAttempt>),
}

/// A subscriber has read too slowly, and has lost the oldest events: so many of them. Those that follow are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lagged(pub u64);

impl fmt::Display for Lagged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(events) = self;
        write!(
            f,
            "{events} events were lost, because they were read too slowly"
        )
    }
}

impl std::error::Error for Lagged {}

/// Where to subscribe to what a worker does: see [`Worker::events`](crate::Worker::events). Cheap to clone.
#[derive(Debug, Clone)]
pub struct Events {
    heard: Arc<Heard>,
}

impl Events {
    pub(crate) fn of(heard: &Arc<Heard>) -> Self {
        Self {
            heard: heard.clone(),
        }
    }

    /// Subscribes to all events from now on.
    pub fn subscribe(&self) -> Subscription {
        let heard = &self.heard;
        let mut sender = heard.lock();
        let receiver = match &mut *sender {
            Sender::Unused => {
                let (made, receiver) = broadcast::channel(CAPACITY);
                *sender = Sender::Open(made);
                receiver
            }
            Sender::Open(sender) => sender.subscribe(),
            // Its sender is gone, so it ends at once.
            Sender::Closed => broadcast::channel(1).1,
        };
        heard.subscribers.fetch_add(1, Ordering::Relaxed);
        let events = stream::unfold(receiver, async |mut receiver| {
            let event = match receiver.recv().await {
                Ok(event) => Ok(event),
                Err(RecvError::Lagged(events)) => Err(Lagged(events)),
                Err(RecvError::Closed) => return None,
            };
            Some((event, receiver))
        });
        Subscription {
            events: events.fuse().boxed(),
            heard: self.heard.clone(),
        }
    }
}

/// What a worker does, from the moment of [`Events::subscribe`] until the worker has ended or is dropped.
///
/// 16,384 events wait for it. If more come before it reads them, the oldest are lost, and it is told so in their place.
pub struct Subscription {
    events: BoxStream<'static, Result<Event, Lagged>>,
    heard: Arc<Heard>,
}

impl Subscription {
    /// Waits for the next event. Returns `None` when the worker has ended and all of its events are read.
    ///
    /// # Errors
    ///
    /// [`Lagged`], if events were lost. The next call goes on with the oldest that are left.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: if the future is dropped, no event is lost.
    pub async fn next(&mut self) -> Option<Result<Event, Lagged>> {
        self.events.next().await
    }
}

impl Stream for Subscription {
    type Item = Result<Event, Lagged>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.poll_next_unpin(context)
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.heard.subscribers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a worker and its subscribers share.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    subscribers: AtomicUsize,
    sender: Mutex<Sender>,
}

#[derive(Debug, Default)]
enum Sender {
    /// Nobody has subscribed yet.
    #[default]
    Unused,
    Open(broadcast::Sender<Event>),
    /// The worker has ended.
    Closed,
}

impl Heard {
    /// Tells whether somebody listens.
    pub(crate) fn is_any(&self) -> bool {
        self.subscribers.load(Ordering::Relaxed) > 0
    }

    /// Tells those who listen. `event` is made only if there are some.
    pub(crate) fn send(&self, event: impl FnOnce() -> Event) {
        if !self.is_any() {
            return;
        }
        if let Sender::Open(sender) = &*self.lock() {
            // Nobody may listen any more.
            let _ = sender.send(event());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Sender> {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The worker's end of it: when this is dropped, subscribers have read all when they have read what is there.
#[derive(Debug, Default)]
pub(crate) struct Speaker(pub(crate) Arc<Heard>);

impl Speaker {
    /// Ends the stream.
    pub(crate) fn close(&self) {
        *self.0.lock() = Sender::Closed;
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stopping() -> Event {
        Event::WorkerStopping {
            worker_id: Uuid::nil(),
        }
    }

    #[tokio::test]
    async fn nothing_is_made_while_nobody_listens() {
        let speaker = Speaker::default();
        let events = Events::of(&speaker.0);
        speaker.0.send(|| unreachable!("nobody listens"));
        drop(events.subscribe());
        speaker.0.send(|| unreachable!("nobody listens any more"));
        let mut subscription = events.subscribe();
        speaker.0.send(stopping);
        assert!(matches!(subscription.next().await, Some(Ok(_))));
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_how_many_it_has_lost_and_goes_on() {
        let speaker = Speaker::default();
        let mut subscription = Events::of(&speaker.0).subscribe();
        for _ in 0..CAPACITY + 7 {
            speaker.0.send(stopping);
        }
        let first = subscription.next().await.expect("told");
        assert_eq!(first.expect_err("it lagged"), Lagged(7));
        speaker.close();
        assert_eq!(subscription.by_ref().count().await, CAPACITY);
        assert!(subscription.next().await.is_none());
        let mut late = Events::of(&speaker.0).subscribe();
        assert!(late.next().await.is_none(), "the worker has ended");
    }

    #[tokio::test]
    async fn a_wait_that_is_given_up_loses_no_event() {
        let speaker = Speaker::default();
        let mut subscription = Events::of(&speaker.0).subscribe();
        for _ in 0..3 {
            let mut waits = Box::pin(subscription.next());
            assert!(futures_util::poll!(&mut waits).is_pending());
        }
        speaker.0.send(stopping);
        speaker.0.send(stopping);
        drop(speaker);
        assert_eq!(subscription.count().await, 2);
    }
}

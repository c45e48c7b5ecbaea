//! How many connections a worker may need at once, and who has to wait where the pool has fewer.
//!
//! A handler with `&mut tx` uses a connection while it runs. Each slot of a queue that such a handler declares
//! has one for certain. An enqueue may put a task into another queue than its type declares, though, and then
//! its handler is a *stray* there. Strays share the connections that are left, and wait for each other. So do handlers
//! with `&mut LazyTx`, once they begin, and those without a transaction whose tasks [hooks](crate::Hook::in_tx) want, once they have ended. So a queue of many tasks that need no connection, or one for a moment, does not ask
//! for a pool as large, and the worker's own loops have theirs always.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::settings::Settings;
use crate::task::registry::Registry;

/// Connections that a worker has for itself: for claims, for outcomes, for heartbeats, for rescues, and
/// now and then for its other upkeep. One more listens, if it does.
const OWN_CONNECTIONS: u32 = 5;

/// How many connections a worker may use at once, by what they are for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Demand {
    own: u32,
    /// For queues that a handler with a transaction declares.
    at_home: u32,
    /// For those that share, in the other queues, if each had one.
    sharing: u32,
}

impl Demand {
    pub(crate) fn of(settings: &Settings, registry: &Registry) -> Self {
        let (mut at_home, mut sharing) = (0_u32, 0_u32);
        if registry.uses_connections() {
            for (queue, concurrency) in &settings.queues {
                let places = u32::try_from(*concurrency).unwrap_or(u32::MAX);
                let sum = match registry.is_transactional_queue(queue) {
                    true => &mut at_home,
                    false => &mut sharing,
                };
                *sum = sum.saturating_add(places);
            }
        }
        Self {
            own: OWN_CONNECTIONS + u32::from(settings.listen),
            at_home,
            sharing,
        }
    }

    /// Returns the fewest connections that handlers get along with.
    pub(crate) fn for_handlers(&self) -> u32 {
        self.at_home.saturating_add(self.sharing.min(1))
    }

    /// Returns the fewest connections that the worker gets along with.
    pub(crate) fn needed(&self) -> u32 {
        self.own.saturating_add(self.for_handlers())
    }
}

/// The connections that strays share, handlers that begin their transaction by themselves, and hooks of those that have none.
#[derive(Debug)]
pub(crate) struct SharedPlaces {
    places: Arc<Semaphore>,
    /// Of each queue, whether they have to share in it: not where there are enough for all.
    shared_in: Vec<bool>,
    has_warned: AtomicBool,
}

impl SharedPlaces {
    /// Shares what a pool of `found` connections has left.
    pub(crate) fn of(settings: &Settings, registry: &Registry, found: u32) -> Self {
        let demand = Demand::of(settings, registry);
        let left = found.saturating_sub(demand.own.saturating_add(demand.at_home));
        let is_scarce = left < demand.sharing;
        let queues = settings.queues.iter();
        Self {
            // Never none: they would wait for ever.
            places: Arc::new(Semaphore::new(usize::try_from(left.max(1)).unwrap_or(1))),
            shared_in: queues
                .map(|(queue, _)| is_scarce && !registry.is_transactional_queue(queue))
                .collect(),
            has_warned: AtomicBool::new(false),
        }
    }

    /// Tells whether whoever shares has to take a place in this queue.
    pub(crate) fn are_shared_in(&self, queue: usize) -> bool {
        self.shared_in[queue]
    }

    /// Waits for a place.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a place that nobody has taken is free.
    pub(crate) async fn take(&self) -> OwnedSemaphorePermit {
        let place = Arc::clone(&self.places).acquire_owned().await;
        place.expect("nobody closes it")
    }

    /// Waits for a place for a stray, and says once that it waits.
    ///
    /// # Cancel safety
    ///
    /// As [`take`](Self::take).
    pub(crate) async fn take_for_stray(&self) -> OwnedSemaphorePermit {
        let is_full = self.places.available_permits() == 0;
        if is_full && !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "tasks of handlers with `&mut tx` were enqueued to a queue that no such handler declares; they share the connections that the pool has left, and now wait for each other: raise `PgPoolOptions::max_connections`, or have the handlers declare that queue"
            );
        }
        self.take().await
    }
}

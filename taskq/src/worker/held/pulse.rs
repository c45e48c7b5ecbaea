//! On which thread a handler is, while it is: a slot's pulse.
//!
//! A handler is on a thread only while it is polled, and that should be short. Each poll makes two stores, and no more: the
//! watch compares what it finds with what it found before, and so nobody has to ask for the time.

use std::pin::Pin;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread;

/// The names of the threads that have polled a handler, by their numbers.
static THREADS: Mutex<Vec<String>> = Mutex::new(Vec::new());

thread_local! {
    /// The number of this thread, from 1.
    static NUMBER: u32 = number_this_thread();
}

/// What others can see of a slot's handler.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    /// The number of the poll that goes on, and that of its thread; zero between polls.
    polled: AtomicU64,
    /// The process of the server that works for the handler's transaction; zero where there is none.
    backend: AtomicI32,
}

/// A poll that goes on: no other of the same slot is equal to it for a long time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OnePoll(u64);

impl Pulse {
    /// Returns the poll that goes on, if one does.
    pub(super) fn polled(&self) -> Option<OnePoll> {
        let polled = self.polled.load(Ordering::Relaxed);
        (polled != 0).then_some(OnePoll(polled))
    }

    pub(super) fn backend(&self) -> Option<i32> {
        let backend = self.backend.load(Ordering::Relaxed);
        (backend != 0).then_some(backend)
    }

    /// Says which process of the server works for the handler's transaction; zero: none.
    pub(crate) fn set_backend(&self, backend: i32) {
        self.backend.store(backend, Ordering::Relaxed);
    }
}

impl OnePoll {
    /// Returns the name of its thread.
    pub(super) fn thread(self) -> String {
        let number = usize::try_from(self.0 & u64::from(u32::MAX)).unwrap_or(0);
        let threads = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
        let name = threads.get(number.wrapping_sub(1));
        name.cloned().unwrap_or_default()
    }
}

/// A future whose polls are seen.
#[derive(Debug)]
pub(crate) struct Polled<'a, F> {
    pulse: &'a Pulse,
    polls: u32,
    future: F,
}

impl<'a, F> Polled<'a, F> {
    pub(crate) fn new(pulse: &'a Pulse, future: F) -> Self {
        Self {
            pulse,
            polls: 0,
            future,
        }
    }
}

impl<F: Future + Unpin> Future for Polled<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.polls = self.polls.wrapping_add(1);
        let number = NUMBER.with(|number| u64::from(*number));
        let polled = u64::from(self.polls) << 32 | number;
        self.pulse.polled.store(polled, Ordering::Relaxed);
        let poll = Pin::new(&mut self.future).poll(context);
        self.pulse.polled.store(0, Ordering::Relaxed);
        poll
    }
}

fn number_this_thread() -> u32 {
    let thread = thread::current();
    let id = format!("{:?}", thread.id());
    let name = match thread.name() {
        // Those of one runtime have one name.
        Some(name) => format!("{name} {id}"),
        None => id,
    };
    let mut threads = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
    threads.push(name);
    u32::try_from(threads.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_poll_is_seen_while_it_goes_on_and_is_another_than_the_next() {
        let pulse = Pulse::default();
        let mut seen = Vec::new();
        let mut future = poll_fn(|context| {
            seen.push(pulse.polled().expect("it goes on"));
            context.waker().wake_by_ref();
            if seen.len() < 2 {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        });
        let polled = Polled::new(&pulse, &mut future);
        futures_util::pin_mut!(polled);
        assert!(polled.as_mut().now_or_never().is_none());
        assert_eq!(pulse.polled(), None);
        assert!(polled.now_or_never().is_some());
        assert_ne!(seen[0], seen[1]);
        let own = thread::current();
        assert!(seen[0].thread().starts_with(own.name().expect("a test")));
    }
}

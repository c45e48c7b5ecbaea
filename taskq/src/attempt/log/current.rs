//! Whose lines this thread logs.
//!
//! A span knows its run, also in tasks and threads that have nothing but the span. This tells it where a filter of the
//! program has the span left out, and to the span when it is made.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::run::Run;

thread_local! {
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
}

/// Whose lines a thread logs.
#[derive(Debug, Clone)]
pub(crate) enum Current {
    Run(Arc<Run>),
    /// Those of taskq about itself: no attempt has them, whatever span they are in.
    Nobody,
}

/// Returns whose lines this thread logs, if that is known.
pub(crate) fn current() -> Option<Current> {
    CURRENT
        .try_with(|current| current.borrow().clone())
        .ok()
        .flatten()
}

/// For as long as it lives, the thread logs the lines of somebody.
#[derive(Debug)]
pub(crate) struct Entered(Option<Current>);

/// Has the thread log somebody's lines.
pub(crate) fn enter(whose: Current) -> Entered {
    let earlier = CURRENT.try_with(|current| current.replace(Some(whose)));
    Entered(earlier.ok().flatten())
}

/// Has the thread log lines that no attempt keeps.
pub(crate) fn quiet() -> Entered {
    enter(Current::Nobody)
}

impl Drop for Entered {
    fn drop(&mut self) {
        let _ = CURRENT.try_with(|current| current.replace(self.0.take()));
    }
}

/// A future that logs the lines of a run, if there is one.
#[derive(Debug)]
pub(crate) struct Around<'a, F> {
    run: Option<&'a Arc<Run>>,
    future: Pin<&'a mut F>,
}

impl<'a, F> Around<'a, F> {
    pub(crate) fn new(run: Option<&'a Arc<Run>>, future: Pin<&'a mut F>) -> Self {
        Self { run, future }
    }
}

impl<F: Future> Future for Around<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let _entered = self.run.map(|run| enter(Current::Run(run.clone())));
        self.future.as_mut().poll(context)
    }
}

/// A future that logs lines that no attempt keeps.
#[derive(Debug)]
pub(crate) struct Quiet<'a, F>(pub(crate) Pin<&'a mut F>);

impl<F: Future> Future for Quiet<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let _quiet = quiet();
        self.0.as_mut().poll(context)
    }
}

//! The lines that attempts log, until their worker writes them.
//!
//! A line goes to the run in whose span it is logged, and that keeps the newest. So a worker holds a bounded number of
//! lines, whatever its handlers log and whatever the database does. An attempt pays nothing where no layer keeps lines.

mod current;
mod line;
mod parts;
mod run;
mod waiting;

use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) use self::current::{Around, Current, Quiet, current, enter, quiet};
pub(crate) use self::line::Fields;
pub(crate) use self::parts::Part;
pub(crate) use self::run::{Caps, Chunk, Lines, Run, RunOf};

/// Where the spans of attempts are made.
pub(crate) const SPANS: &str = "taskq::worker::slot::trace";

/// Whether this process has a layer that keeps lines.
static ARE_KEPT: AtomicBool = AtomicBool::new(false);

/// Records that there is a layer.
pub(crate) fn keep() {
    ARE_KEPT.store(true, Ordering::Relaxed);
}

pub(crate) fn are_kept() -> bool {
    ARE_KEPT.load(Ordering::Relaxed)
}

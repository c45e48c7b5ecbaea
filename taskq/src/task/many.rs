//! The handler of many payloads of a task, without its types.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::value::RawValue;

use crate::attempt::batch::Outcomes;
use crate::attempt::outcome::Outcome;
use crate::task::batch::{BatchHandler, MAX_SIZE, MAX_WAIT, ReadBatch, Unread};
use crate::task::declaration::Task;
use crate::task::payload;

impl BatchHandler {
    /// Describes the handler of `T`, if it is one of many.
    pub(crate) const fn of<T: Task>() -> Option<Self> {
        match (T::BATCH, T::DECLARATION.batch) {
            (Some(_), Some(bounds)) => {
                assert!(
                    T::TIMEOUT.is_none(),
                    "a handler of many payloads has one timeout for all of them: write `timeout = \"30s\"`, not a function of one payload"
                );
                assert!(
                    bounds.size > 0 && bounds.size <= MAX_SIZE,
                    "a batch has at least 1 and at most 10000 payloads"
                );
                assert!(
                    bounds.wait.as_secs() <= MAX_WAIT.as_secs(),
                    "a worker waits at most a minute for more payloads of a batch"
                );
                Some(Self {
                    bounds,
                    read: read_erased::<T>,
                })
            }
            (None, None) => None,
            (Some(_), None) => {
                panic!(
                    "a handler of many payloads says how many: add `.batch(size, wait)` to its `DECLARATION`"
                )
            }
            (None, Some(_)) => {
                panic!("`Declaration::batch` is for a handler of many payloads: add `Task::BATCH`")
            }
        }
    }
}

fn read_erased<T: Task>(raws: &[(&RawValue, Option<u16>)]) -> ReadBatch {
    let mut payloads = Vec::with_capacity(raws.len());
    let unread = raws.iter().map(|(raw, version)| {
        let read = || payload::read::<T::Payload>(raw, *version);
        match catch_unwind(AssertUnwindSafe(read)) {
            Ok(Ok(payload)) => {
                payloads.push(payload);
                None
            }
            Ok(Err(error)) => Some(Unread::Invalid(error)),
            Err(panic) => match Outcome::panicked(&*panic) {
                Outcome::Failed(error) => Some(Unread::Panicked(error)),
                Outcome::Completed | Outcome::Kept(_) => None,
            },
        }
    });
    let unread = unread.collect();
    ReadBatch {
        unread,
        start: Box::new(move |parts| match T::BATCH {
            Some(batch) => batch(payloads, parts),
            None => Box::pin(std::future::ready(Outcomes::All(Outcome::Completed))),
        }),
    }
}

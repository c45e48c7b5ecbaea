//! Counting the waiting tasks that nobody serves: types that no living worker knows, and queues
//! that none works on. They wait untouched and keep their attempts; the log is the to-do list.

use std::time::Duration;

use futures_util::FutureExt;

use super::duty::Duty;
use crate::error::error_text;
use crate::operate::foreign_keys;
use crate::store::CensusRow;
use crate::worker::shared::Core;

pub(crate) const DUTY: Duty = Duty {
    name: "census",
    period: |core| Some(core.settings.census_interval),
    limit: Duration::from_secs(60),
    retry: None,
    run: |core| take(core).boxed(),
};

/// How far tasks of one kind are counted. Beyond, the log says "or more".
const COUNT_LIMIT: usize = 10_000;

/// How many kinds are looked at. A program has some dozens; more are a program that makes names up.
const KIND_LIMIT: usize = 1_000;

/// Takes the census once and logs what it found.
async fn take(core: &Core) -> bool {
    let mut store = core.store();
    if let Err(error) = foreign_keys::require_harmless(&mut store).await {
        tracing::error!("{}", error_text(&error));
    }
    match store.advance_ids().await {
        Ok(Some(last)) => tracing::warn!(
            last,
            "ids of tasks would have come again, as after a restore: the sequence is moved past those that are taken"
        ),
        Ok(None) => {}
        Err(error) => tracing::warn!(
            error = error_text(&error),
            "cannot look whether ids of tasks come again"
        ),
    }
    match store.census(COUNT_LIMIT, KIND_LIMIT).await {
        Ok(kinds) => {
            let unserved = kinds.iter().filter(|kind| !core.serves(kind));
            unserved.for_each(|kind| log(core, kind));
            true
        }
        Err(error) => {
            tracing::warn!(
                error = error_text(&error),
                "cannot count waiting tasks; trying again at the next census"
            );
            false
        }
    }
}

fn log(core: &Core, kind: &CensusRow) {
    let CensusRow {
        queue,
        task_type,
        waiting,
        ..
    } = kind;
    let or_more = match usize::try_from(*waiting) {
        Ok(waiting) if waiting >= COUNT_LIMIT => " or more",
        _ => "",
    };
    let is_known = kind.type_is_known || core.registry.find(task_type).is_some();
    if !is_known {
        let hint = match core.registry.similar_to(task_type) {
            Some(name) => format!("; did you mean `{name}`?"),
            None => String::new(),
        };
        tracing::warn!(
            queue,
            task_type,
            waiting,
            "task type not implemented: {task_type}, {waiting}{or_more} waiting{hint}"
        );
    } else if !kind.queue_is_served && !core.works_on(queue) {
        tracing::warn!(
            queue,
            task_type,
            waiting,
            "queue not served: {queue}, {waiting}{or_more} waiting of type {task_type}"
        );
    } else {
        tracing::warn!(
            queue,
            task_type,
            waiting,
            "no worker of queue {queue} knows {task_type}: {waiting}{or_more} waiting"
        );
    }
}

impl Core {
    // This worker may not have registered yet.
    fn serves(&self, kind: &CensusRow) -> bool {
        self.works_on(&kind.queue) && self.registry.find(&kind.task_type).is_some()
    }
}

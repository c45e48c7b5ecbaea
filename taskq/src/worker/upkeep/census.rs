//! Counting the waiting tasks that nobody serves: types that no living worker knows, and queues
//! that none works on. They wait untouched and keep their attempts; the log is the to-do list.

use std::time::Duration;

use futures_util::FutureExt;
use sqlx::Error;

use super::duty::{Duty, First};
use crate::error::error_text;
use crate::lane::{HeldPause, pause_of};
use crate::store::{CensusRow, NewerRow, Store};
use crate::worker::shared::Core;

pub(crate) const DUTY: Duty = Duty {
    name: "census",
    period: |core| Some(core.settings.census_interval),
    first: |_| First::AtStart,
    sooner: None,
    limit: Duration::from_secs(60),
    retry: None,
    run: |core| take(core).boxed(),
};

/// How far tasks of one kind are counted. Beyond, the log says "or more".
const COUNT_LIMIT: usize = 10_000;

/// For how long tasks of a newer version must have been due: while a release is rolled out, others take them.
const NEWER_AFTER: Duration = Duration::from_secs(60);

/// How many kinds are looked at. A program has some dozens; more are a program that makes names up.
const KIND_LIMIT: usize = 1_000;

/// Takes the census once and logs what it found.
async fn take(core: &Core) -> bool {
    let mut store = core.store();
    match count(core, &mut store).await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(
                error = error_text(&error),
                "cannot count waiting tasks; trying again at the next census"
            );
            false
        }
    }
}

async fn count(core: &Core, store: &mut Store<'static>) -> Result<(), Error> {
    let mut unserved = store.census(COUNT_LIMIT, KIND_LIMIT).await?;
    unserved.retain(|kind| !core.serves(kind));
    let queues: Vec<String> = core
        .queue_names
        .iter()
        .map(|name| name.to_string())
        .collect();
    let known = core.registry.known();
    let newer = store
        .newer(&queues, &known, COUNT_LIMIT, NEWER_AFTER)
        .await?;
    if unserved.is_empty() && newer.is_empty() {
        return Ok(());
    }
    let pauses = store.pauses().await?;
    unserved.iter().for_each(|kind| log(core, kind, &pauses));
    newer.iter().for_each(|kind| log_newer(kind, &pauses));
    Ok(())
}

fn log_newer(kind: &NewerRow, pauses: &[HeldPause]) {
    let NewerRow {
        queue,
        task_type,
        payload_version,
        waiting,
    } = kind;
    let or_more = or_more(*waiting);
    let paused = paused(pauses, queue, task_type);
    tracing::warn!(
        queue,
        task_type,
        payload_version,
        waiting,
        "newer than this worker decodes: {task_type} of version {payload_version}, {waiting}{or_more} waiting; deploy a worker that knows it{paused}"
    );
}

/// Says that tasks would not start even if somebody served them.
fn paused(pauses: &[HeldPause], queue: &str, task_type: &str) -> String {
    let pause = pause_of(pauses, queue, task_type);
    pause.map_or_else(String::new, |pause| format!("; {pause}"))
}

fn or_more(waiting: i64) -> &'static str {
    match usize::try_from(waiting) {
        Ok(waiting) if waiting >= COUNT_LIMIT => " or more",
        _ => "",
    }
}

fn log(core: &Core, kind: &CensusRow, pauses: &[HeldPause]) {
    let CensusRow {
        queue,
        task_type,
        waiting,
        ..
    } = kind;
    let or_more = or_more(*waiting);
    let paused = paused(pauses, queue, task_type);
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
            "task type not implemented: {task_type}, {waiting}{or_more} waiting{hint}{paused}"
        );
    } else if !kind.queue_is_served && !core.works_on(queue) {
        tracing::warn!(
            queue,
            task_type,
            waiting,
            "queue not served: {queue}, {waiting}{or_more} waiting of type {task_type}{paused}"
        );
    } else {
        tracing::warn!(
            queue,
            task_type,
            waiting,
            "no worker of queue {queue} knows {task_type}: {waiting}{or_more} waiting{paused}"
        );
    }
}

impl Core {
    // This worker may not have registered yet.
    fn serves(&self, kind: &CensusRow) -> bool {
        self.works_on(&kind.queue) && self.registry.find(&kind.task_type).is_some()
    }
}

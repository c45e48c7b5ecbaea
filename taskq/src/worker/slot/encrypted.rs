//! Decrypting a payload before an attempt, and what becomes of a task whose payload this worker cannot decrypt.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::handler::{Decided, Execution};
use crate::attempt::verdict::{Settlement, Verdict};
use crate::cipher::{self, MISSING_KEY, OpenError};
use crate::error::{BoxError, DecodeError};
use crate::store::ClaimedTask;
use crate::task::registration::Registration;
use crate::worker::shared::Core;
use crate::worker::trouble::Said;

/// How long a task waits at first for a worker that has its key; doubled with each further wait.
const FIRST_WAIT: Duration = Duration::from_secs(15);
const LONGEST_WAIT: Duration = Duration::from_secs(5 * 60);

/// Returns the task with its fields decrypted; `None` if none is encrypted.
pub(super) fn open(
    core: &Core,
    registration: &Registration,
    task: &ClaimedTask,
) -> Result<Option<ClaimedTask>, OpenError> {
    if !cipher::may_be_encrypted(registration.options.encrypted, &task.metadata) {
        return Ok(None);
    }
    let keys = core.settings.keys.clone().or_else(cipher::installed);
    // By the name that the row has: it may be an alias.
    let opened = cipher::decrypt(keys.as_deref(), &task.task_type, &task.payload)?;
    Ok(opened.map(|payload| ClaimedTask {
        payload,
        ..task.clone()
    }))
}

/// Decides about a task that does not decrypt.
pub(super) fn settle(execution: &Execution<'_>, error: OpenError) -> Settlement {
    let now = Instant::now();
    let OpenError::NoKey { key } = error else {
        let decided = Decided::from(execution.refuse(&DecodeError::from(error), now));
        execution.count(&decided);
        let ended = execution.to_tell(&decided);
        return Settlement {
            ended,
            ..execution.settlement(decided.verdict)
        };
    };
    let waits = execution.task.metadata.get(MISSING_KEY);
    let waits = waits.filter(|it| it["key"] == *key);
    let waits = waits.and_then(|it| it["waits"].as_u64()).unwrap_or(0);
    let delay = FIRST_WAIT
        .saturating_mul(1 << waits.min(8))
        .min(LONGEST_WAIT);
    // Those that came together do not come back together.
    let delay = delay.mul_f64(0.75 + 0.5 * fastrand::f64());
    let core = execution.core;
    let said = BoxError::from(format!("no key `{key}`"));
    if let Some(Said { again, .. }) = core.troubles.record("decrypt", &*said, now) {
        tracing::warn!(
            key,
            retry_in = ?delay,
            "payload is encrypted with a key that this worker does not have; the task waits for one that has it{again}"
        );
    }
    let decided = Decided::from(Verdict::Snooze {
        delay,
        is_wished: false,
    });
    execution.count(&decided);
    let ended = execution.to_tell(&decided);
    let mark = json!({ MISSING_KEY: { "key": key, "waits": Value::from(waits + 1) } });
    Settlement {
        mark: Some(mark.to_string()),
        ended,
        ..execution.settlement(decided.verdict)
    }
}

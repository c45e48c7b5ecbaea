//! Encrypting what an operator has typed, where this program has the task type.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::pause::Operator;
use super::show::TaskDetails;
use crate::cipher::{self, NoKeys};
use crate::error::{MASK, OperateError};
use crate::task::registration::{linked_encrypted, links_encrypted};

impl Operator {
    /// Returns a payload for a task that there is, with what is typed encrypted; `None` if nothing is to be.
    pub(super) async fn encrypted(
        &self,
        task_id: i64,
        payload: &RawValue,
    ) -> Result<Option<Box<RawValue>>, OperateError> {
        if !links_encrypted() {
            return Ok(None);
        }
        let mut store = self.store();
        let shown = store.show::<TaskDetails>(task_id).await;
        let shown = shown.map_err(|error| self.error(error))?;
        shown.map_or(Ok(None), |task| typed(&task.task_type, payload))
    }
}

/// Returns the payload of a new task with what is typed encrypted; `None` if nothing is to be. A mask stays one: it stands
/// for what is stored.
pub(super) fn typed(
    task_type: &str,
    payload: &RawValue,
) -> Result<Option<Box<RawValue>>, OperateError> {
    let mut fields = linked_encrypted(task_type);
    let typed: BTreeMap<String, Box<RawValue>> =
        serde_json::from_str(payload.get()).unwrap_or_default();
    let is_masked = |value: &RawValue| serde_json::from_str::<&str>(value.get()).ok() == Some(MASK);
    fields.retain(|field| typed.get(*field).is_some_and(|value| !is_masked(value)));
    if fields.is_empty() {
        return Ok(None);
    }
    let encrypted = cipher::encrypt(task_type, &fields, payload);
    encrypted.map(Some).map_err(|NoKeys| OperateError::Refused {
        message: format!(
            "`{}` of `{task_type}` is encrypted, and this process has no keys: call `taskq::encryption::install` when it starts",
            fields[0]
        ),
    })
}

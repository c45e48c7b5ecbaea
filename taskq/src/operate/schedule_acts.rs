//! What an operator does to schedules from the page and from `top`, with a name and a reason.

#[cfg(feature = "dashboard")]
use serde_json::value::RawValue;
#[cfg(feature = "dashboard")]
use serde_json::{Map, Value};

use super::act::Act;
use super::pause::Operator;
use super::schedules::Removed;
#[cfg(feature = "dashboard")]
use super::schedules::Upsert;
#[cfg(feature = "dashboard")]
use crate::error::OperateError;
#[cfg(feature = "dashboard")]
use crate::store::{ScheduleRow, Signed};
#[cfg(feature = "dashboard")]
use crate::task::registration::linked_secrets;
#[cfg(feature = "dashboard")]
use crate::task::secret::still_masked;

impl Operator {
    /// Enqueues a task of a schedule now, and returns its id.
    pub(crate) fn run_schedule(&self, name: &str) -> Act<i64> {
        let name = name.to_owned();
        self.act(async move |mut store, signed| store.run_schedule(&name, &signed).await)
    }

    /// Takes back what was said of a schedule by hand.
    pub(crate) fn remove_schedule(&self, name: &str) -> Act<Removed> {
        let name = name.to_owned();
        self.act(async move |mut store, signed| {
            let removed = store.remove_schedule(&name, &signed).await?;
            Ok(Removed::of(&removed))
        })
    }

    /// Tells what a schedule does, with the values of secret fields; `None` where there is no such schedule.
    #[cfg(feature = "dashboard")]
    pub(crate) async fn schedule_row(
        &self,
        name: &str,
    ) -> Result<Option<ScheduleRow>, OperateError> {
        let rows = self.store().schedules(Some(name)).await;
        let rows = rows.map_err(|error| self.error(error))?;
        Ok(rows.into_iter().next())
    }

    /// Returns the payload that a schedule would get, which may have secret values. Fails where it would get the mask in
    /// place of one: the tables do not know yet what this program knows to be secret.
    #[cfg(feature = "dashboard")]
    pub(crate) async fn schedule_payload(
        &self,
        row: &ScheduleRow,
        payload: &RawValue,
    ) -> Result<Box<RawValue>, OperateError> {
        let written = self.store().schedule_payload(&row.name, payload).await;
        let written = written.map_err(|error| self.error(error))?;
        let written = written.unwrap_or_else(|| payload.to_owned());
        match still_masked(&linked_secrets(&row.task_type), &written) {
            None => Ok(written),
            Some(field) => Err(OperateError::Refused {
                message: format!(
                    "the tables have not heard yet that `{field}` is secret, so *** would be stored in its place: start a worker of this program, or say the value"
                ),
            }),
        }
    }

    /// Makes a schedule, or changes it. The texts are its name, the expression and the time zone; the options are those
    /// of its tasks.
    #[cfg(feature = "dashboard")]
    pub(crate) fn upsert_schedule(
        &self,
        texts: [&str; 3],
        task_type: &str,
        options: Map<String, Value>,
        payload: Box<RawValue>,
    ) -> Upsert<'static> {
        let signed = Signed {
            by: self.user.clone(),
            reason: None,
        };
        Upsert::by_name(self.store(), signed, texts, (task_type, options), payload)
    }
}

//! What is known of an attempt that failed: its times, its worker, and what its error says at length.

use std::sync::PoisonError;
use std::time::Instant;

use chrono::{DateTime, Utc};

use super::handler::Execution;
use crate::attempt::verdict::Verdict;
use crate::error::{AttemptReport, BoxError, Secrets};

impl Execution<'_> {
    /// Keeps what an error says at length, without secret values. The last one counts, as in the verdict. The times of the
    /// attempt stay.
    pub(super) fn report_error(&self, verdict: &Verdict, error: &BoxError) {
        if verdict.error().is_none() {
            return;
        }
        let fields = self.registration.options.secret;
        let secrets = self
            .has_secrets()
            .then(|| Secrets::of(fields, Some(&self.task.payload)));
        let hide = |text| match &secrets {
            Some(secrets) => secrets.hide(text),
            None => text,
        };
        let told = AttemptReport::of(&**error, hide);
        let mut report = self
            .noted
            .report
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let earlier = report.take().unwrap_or_default();
        *report = Some(Box::new(AttemptReport {
            started_at: earlier.started_at,
            ended_at: earlier.ended_at,
            worker_id: Some(self.core.worker_id.to_string()),
            ..told
        }));
    }

    /// Notes when a handler ran that failed.
    pub(super) fn report_times(&self, verdict: &Verdict, began: Instant, ended: Instant) {
        if verdict.error().is_none() {
            return;
        }
        let at = |moment| {
            let micros = self.core.database_clock.micros_at(moment)?;
            DateTime::<Utc>::from_timestamp_micros(micros)
        };
        let mut report = self
            .noted
            .report
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let report = report.get_or_insert_default();
        report.started_at = at(began);
        report.ended_at = at(ended);
        report.worker_id = Some(self.core.worker_id.to_string());
    }

    /// Returns what is stored with the error of a verdict, if it has one.
    pub(super) fn report_of(&self, verdict: &Verdict) -> Option<Box<AttemptReport>> {
        verdict.error()?;
        let report = self
            .noted
            .report
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        report.clone()
    }
}

//! What follows when a payload decodes or does not: for its task, and for its type, which may be braked.

use std::time::Instant;

use super::handler::Execution;
use crate::attempt::verdict::Verdict;
use crate::error::{BoxError, DecodeError};
use crate::lane::{BRAKED_AFTER, Undecoded};
use crate::store::version_of;
use crate::worker::trouble::Said;

impl Execution<'_> {
    /// Records that the payload decodes.
    pub(super) fn record_decoded(&self, now: Instant) {
        let brakes = &self.core.brakes;
        if brakes.record_decoded(&self.task.task_type, self.task.payload_version, now)
            && self.is_worth_saying("decodes again", now).is_some()
        {
            tracing::info!(
                "{} are claimed as before: one decodes again",
                self.its_like()
            );
        }
    }

    /// Decides about a task whose payload does not decode.
    pub(super) fn refuse(&self, error: &DecodeError, now: Instant) -> Verdict {
        let brakes = &self.core.brakes;
        let became = brakes.record_invalid(&self.task.task_type, self.task.payload_version, now);
        if became == Undecoded::HandedBack {
            tracing::debug!(%error, "payload is invalid as those before; the task waits again");
            return Verdict::HandBack;
        }
        let verdict = Verdict::invalid(error);
        let error = verdict.error();
        tracing::error!(error, "payload is invalid; the task is set aside");
        if became == Undecoded::LastSetAside
            && let Some(Said { again, .. }) = self.is_worth_saying("decode", now)
        {
            let channel = self.core.settings.schema.operators_channel();
            tracing::warn!(
                task_type = self.registration.task_type,
                payload_version = ?version_of(self.task.payload_version),
                error,
                "{BRAKED_AFTER} {} in a row do not decode: the others wait, and this worker claims one now and then, until one decodes; deploy the program that decodes them, or mend `payload`, and say so to the workers with `notify \"{channel}\", 'scan'`{again}",
                self.its_like()
            );
        }
        verdict
    }

    /// A type that is braked and released again and again is not worth a line each time.
    fn is_worth_saying(&self, what: &'static str, now: Instant) -> Option<Said> {
        let its_like = BoxError::from(self.its_like());
        self.core.troubles.record(what, &*its_like, now)
    }

    fn its_like(&self) -> String {
        let task_type = self.registration.task_type;
        match version_of(self.task.payload_version) {
            Some(version) => format!("tasks `{task_type}` of version {version}"),
            None => format!("tasks `{task_type}` without a version"),
        }
    }
}

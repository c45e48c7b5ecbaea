//! What is said of an attempt whose payload has secret fields: nothing of their values.

use super::handler::Execution;
use crate::attempt::verbs::Wish;
use crate::error::{BoxError, Secrets, error_text};

impl Execution<'_> {
    /// Tells whether the payload has secret fields.
    pub(super) fn has_secrets(&self) -> bool {
        !self.registration.options.secret.is_empty()
    }

    /// Has the payload's secret values be left out of the lines that the attempt logs.
    pub(super) fn hide_in_log(&self) {
        let payload = std::iter::once(&*self.task.payload);
        (self.noted.log).hide(self.registration.options.secret, payload);
    }

    /// Takes the payload's secret values out of what is said of a failure. Returns no error where it has none.
    pub(super) fn hide_secrets(
        &self,
        error: &BoxError,
        wish: Option<Wish>,
    ) -> (Option<BoxError>, Option<Wish>) {
        if !self.has_secrets() {
            return (None, wish);
        }
        let fields = self.registration.options.secret;
        let secrets = Secrets::of(fields, Some(&self.task.payload));
        let wish = wish.map(|wish| match wish {
            Wish::Discard(why) => Wish::Discard(secrets.hide(why)),
            Wish::Cancel(why) => Wish::Cancel(secrets.hide(why)),
            Wish::RetryIn(_) | Wish::Snooze(_) => wish,
        });
        let hidden = secrets.hide(error_text(&**error));
        (Some(hidden.into()), wish)
    }
}

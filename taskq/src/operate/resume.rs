//! Ending a pause.

use super::act::Act;
use super::pause::{Operator, Pause, Scope};

impl Operator {
    /// Ends the pause of a queue or a task type, and returns it, if it held. Workers that listen start the waiting
    /// tasks within milliseconds.
    ///
    /// A queue and a type are paused apart from each other: a task starts when neither is paused.
    pub fn resume(&self, scope: impl Into<Scope>) -> Act<Option<Pause>> {
        let scope = scope.into();
        self.act(async move |mut store, signed| store.resume(&scope, &signed).await)
    }
}

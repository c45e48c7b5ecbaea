//! What an operator does to schedules from the page and from `top`, with a name and a reason.

use super::act::Act;
use super::pause::Operator;
use super::schedules::Removed;

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
}

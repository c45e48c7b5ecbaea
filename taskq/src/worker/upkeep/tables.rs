//! Looking for what others do to the tables that would stop tasks, as `build` does before the worker starts.

use std::time::Duration;

use futures_util::FutureExt;

use super::duty::{Duty, First};
use crate::error::error_text;
use crate::operate::{foreign_keys, ids};
use crate::worker::shared::Core;

pub(crate) const DUTY: Duty = Duty {
    name: "tables",
    period: |core| Some(core.settings.census_interval),
    first: |_| First::WithinPeriod,
    sooner: None,
    limit: Duration::from_secs(60),
    retry: None,
    run: |core| look(core).boxed(),
};

async fn look(core: &Core) -> bool {
    let mut store = core.store();
    if let Err(error) = foreign_keys::require_harmless(&mut store).await {
        tracing::error!("{}", error_text(&error));
    }
    ids::advance(&mut store).await;
    true
}

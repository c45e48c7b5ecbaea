//! Asking the tables for what metrics show of them.
//!
//! One worker does it, of those that expose metrics. If nobody did, metrics would tell of workers, and not of the tables.

use std::time::Instant;

use futures_util::FutureExt;
use sqlx::Error;

use super::duty::{Duty, First};
use crate::error::error_text;
use crate::worker::metrics::meters::{INTERVAL, MOST};
use crate::worker::shared::Core;

pub(crate) const DUTY: Duty = Duty {
    name: "gauges",
    period: |core| core.meters.are_watched().then_some(INTERVAL),
    first: |_| First::WithinPeriod,
    sooner: Some(|core| core.meters.begins_to_lead().boxed()),
    limit: INTERVAL,
    retry: None,
    run: |core| read(core).boxed(),
};

async fn read(core: &Core) -> bool {
    if !core.meters.lead() {
        return true;
    }
    let read = async {
        let mut store = core.store();
        Ok::<_, Error>((store.gauges(MOST).await?, store.pruned().await?))
    };
    match read.await {
        Ok((rows, pruned)) => {
            core.meters.record_tables(rows, pruned, Instant::now());
            true
        }
        Err(error) => {
            tracing::debug!(
                error = error_text(&error),
                "cannot ask the tables for metrics; trying again"
            );
            false
        }
    }
}

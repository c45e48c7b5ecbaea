//! Waiting for a state, with a bound.

use std::time::{Duration, Instant};

use tokio::time::sleep;

/// Longer than anything takes that goes well, on the slowest machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !condition().await {
        assert!(began.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
        sleep(Duration::from_millis(10)).await;
    }
}

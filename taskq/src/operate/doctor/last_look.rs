//! What the way to the server was like when somebody looked last: for those who look again and again.

use std::time::{Duration, Instant};

use sqlx::PgPool;
use tokio::sync::Mutex;

use super::ailment::Ailment;
use super::way;

/// For how long the last look is good enough: each makes two connections.
const HOLDS: Duration = Duration::from_secs(60);

/// What was wrong when somebody looked last.
#[derive(Debug, Default)]
pub(crate) struct LastLook(Mutex<Option<(Instant, Vec<Ailment>)>>);

impl LastLook {
    /// Says what is wrong, by a look that is not old.
    pub(super) async fn ailments(&self, pool: &PgPool) -> Vec<Ailment> {
        let mut last = self.0.lock().await;
        if let Some((at, found)) = &*last
            && at.elapsed() < HOLDS
        {
            return found.clone();
        }
        let found = way::ailments(pool).await;
        *last = Some((Instant::now(), found.clone()));
        found
    }
}

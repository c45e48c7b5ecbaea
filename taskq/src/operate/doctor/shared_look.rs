//! What was wrong when somebody looked last: for many who look at the same pages.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::ailment::Ailment;
use super::last_look::LastLook;

/// For how long a look is shared: as long as an open page shows the same.
const HOLDS: Duration = Duration::from_secs(2);

/// What was wrong when somebody looked last.
#[derive(Debug, Default)]
pub(crate) struct SharedLook {
    pub(super) way: LastLook,
    last: Mutex<Option<Look>>,
    /// How often something was changed here.
    changes: AtomicU64,
}

/// What somebody found.
#[derive(Debug)]
struct Look {
    began: Instant,
    /// How often something had been changed then.
    changes: u64,
    found: Vec<Ailment>,
}

impl SharedLook {
    /// Returns what the last look has found, if that began within two seconds and nothing was changed here since; else
    /// looks. Who comes while somebody looks waits for that.
    pub(super) async fn ailments<E>(
        &self,
        look: impl Future<Output = Result<Vec<Ailment>, E>>,
    ) -> Result<Vec<Ailment>, E> {
        let mut last = self.last.lock().await;
        let changes = self.changes.load(Ordering::Relaxed);
        if let Some(look) = &*last
            && look.began.elapsed() < HOLDS
            && look.changes == changes
        {
            return Ok(look.found.clone());
        }
        let began = Instant::now();
        let found = look.await?;
        *last = Some(Look {
            began,
            changes,
            found: found.clone(),
        });
        Ok(found)
    }

    /// Records that something was changed: whoever asks next looks.
    pub(crate) fn record_change(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn look(shared: &SharedLook, subject: &str) -> String {
        let found = async { Ok::<_, ()>(vec![Ailment::warning("test", subject)]) };
        let found = shared.ailments(found).await.expect("looked");
        found[0].subject.clone()
    }

    #[tokio::test]
    async fn a_look_is_shared_until_it_is_old_or_something_was_changed() {
        let shared = SharedLook::default();
        assert_eq!(look(&shared, "first").await, "first");
        assert_eq!(look(&shared, "second").await, "first");
        shared.record_change();
        assert_eq!(look(&shared, "third").await, "third");
        assert_eq!(look(&shared, "fourth").await, "third");
        if let Some(look) = &mut *shared.last.lock().await {
            look.began -= HOLDS;
        }
        assert_eq!(look(&shared, "fifth").await, "fifth");
    }
}

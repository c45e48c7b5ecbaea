//! What a session knows of constraints and triggers that may wait for the end of a transaction.

use std::time::{Duration, Instant};

/// Whether anything in the database could be deferred to the end of a transaction, when a session last looked.
///
/// Where nothing can be, Postgres need not be asked to accept what a handler did before it commits. What somebody makes deferrable between
/// two looks is found by the commit, which sees the settings of the session and not those of the handler.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deferrable {
    pub(super) is_there: bool,
    looked_at: Instant,
}

impl Deferrable {
    pub(super) fn seen(is_there: bool, looked_at: Instant) -> Self {
        Self {
            is_there,
            looked_at,
        }
    }

    pub(super) fn is_old(self, now: Instant) -> bool {
        now.duration_since(self.looked_at) >= LOOK_EVERY
    }
}

/// So often a session looks whether anything may be deferred. It reads all triggers of the database.
const LOOK_EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_looks_once_a_minute_whether_anything_can_be_deferred() {
        let now = Instant::now();
        for is_there in [false, true] {
            let seen = Deferrable::seen(is_there, now);
            assert!(!seen.is_old(now + Duration::from_secs(59)));
            assert!(seen.is_old(now + Duration::from_secs(60)));
        }
    }
}

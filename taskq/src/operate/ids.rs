//! Ids that would come again: after a restore, on a promoted subscriber, after `truncate ... restart identity`.

use crate::error::error_text;
use crate::store::Store;

/// Moves the sequence of ids past those that are taken, if it is behind, and says so.
pub(crate) async fn advance(store: &mut Store<'_>) {
    match store.advance_ids().await {
        Ok(Some(last)) => tracing::warn!(
            last,
            "ids of tasks would have come again, as after a restore: the sequence is moved past those that are taken"
        ),
        Ok(None) => {}
        Err(error) => tracing::warn!(
            error = error_text(&error),
            "cannot look whether ids of tasks come again"
        ),
    }
}

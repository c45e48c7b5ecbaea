//! Foreign keys of users on `taskq.task`. A claim deletes the rows that it takes, so it breaks them.

use crate::error::WorkerError;
use crate::store::{ForeignKey, Store};

/// Refuses to work where a claim would delete or change rows of the user's, and warns where Postgres would
/// refuse the claim.
pub(crate) async fn require_harmless(store: &mut Store<'_>) -> Result<(), WorkerError> {
    let found = store.foreign_keys().await.map_err(WorkerError::Database)?;
    for ForeignKey {
        constraint,
        table,
        changes_rows,
    } in found
    {
        if let Some(action) = changes_rows {
            return Err(WorkerError::ForeignKey {
                constraint,
                table,
                action,
            });
        }
        tracing::warn!(
            constraint,
            table,
            "a foreign key refers to waiting tasks: Postgres does not let a worker claim those that {table} refers to; drop the constraint and keep the column"
        );
    }
    Ok(())
}

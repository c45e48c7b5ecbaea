//! Which migrations the tables have.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::migrate::migrations;
use super::pause::Operator;
use crate::error::OperateError;

/// A migration, and whether the tables have it: see [`Operator::migrations`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MigrationStatus {
    /// Its place in the order, from 1.
    pub version: i32,
    /// What it is about.
    pub name: String,
    /// When it was applied; absent where it is missing.
    pub applied_at: Option<DateTime<Utc>>,
    /// Whether this program knows it. Tables that are newer than the program have others.
    pub is_known: bool,
}

impl Operator {
    /// Tells of each migration that this program knows, or the tables have, whether it was applied. Without tables all
    /// are missing.
    ///
    /// ```no_run
    /// # async fn f(pool: sqlx::PgPool) -> Result<(), taskq::OperateError> {
    /// for migration in taskq::operate(&pool).migrations().await? {
    ///     println!("{} {}: {:?}", migration.version, migration.name, migration.applied_at);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// See [`OperateError`].
    ///
    /// # Cancel safety
    ///
    /// The table is only read, so the future may be dropped at any time.
    pub async fn migrations(&self) -> Result<Vec<MigrationStatus>, OperateError> {
        let mut store = self.store();
        let exists = store.schema_exists().await;
        let applied = match exists.map_err(|error| self.error(error))? {
            true => store.migrations().await,
            false => Ok(Vec::new()),
        };
        let applied = applied.map_err(|error| self.error(error))?;
        let known = migrations().iter().map(|known| MigrationStatus {
            version: known.version,
            name: known.name.to_owned(),
            applied_at: (applied.iter())
                .find(|(version, ..)| *version == known.version)
                .map(|(.., at)| *at),
            is_known: true,
        });
        let mut all: Vec<MigrationStatus> = known.collect();
        for (version, name, at) in applied {
            if all.iter().all(|other| other.version != version) {
                all.push(MigrationStatus {
                    version,
                    name,
                    applied_at: Some(at),
                    is_known: false,
                });
            }
        }
        all.sort_by_key(|migration| migration.version);
        Ok(all)
    }
}

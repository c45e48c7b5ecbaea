//! What must hold before a worker starts.

use sqlx::PgPool;
use uuid::Uuid;

use super::limits;
use super::places::Demand;
use super::settings::Settings;
use crate::attempt::state::States;
#[cfg(feature = "encryption")]
use crate::cipher;
use crate::error::WorkerError;
use crate::operate::{foreign_keys, ids, migrate};
use crate::store::{Schema, Store, is_unserializable};
use crate::task::registration::Registration;
use crate::task::registry::Registry;

/// Refuses handlers and settings that cannot work together.
pub(super) fn checked(
    settings: Settings,
    states: &States,
    only: Option<Vec<Registration>>,
) -> Result<(Settings, Registry), WorkerError> {
    let mut registry = Registry::new(only.unwrap_or_else(linked_registrations))?;
    let declared_queues = registry.declared_queues().map(|(_, queue)| queue);
    let settings = settings.validated(declared_queues)?;
    if let Some(problem) = states.unwanted() {
        return Err(WorkerError::Setting {
            setting: "state_for",
            problem: problem.to_owned(),
        });
    }
    registry.require_states(states)?;
    registry.note_hooks(|it| settings.hooks.wanting(it))?;
    #[cfg(feature = "cron")]
    registry.schedules()?;
    registry.require_orders()?;
    #[cfg(feature = "encryption")]
    registry.require_keys(settings.keys.is_some() || cipher::installed().is_some())?;
    Ok((settings, registry))
}

pub(crate) fn linked_registrations() -> Vec<Registration> {
    inventory::iter::<Registration>
        .into_iter()
        .copied()
        .collect()
}

/// Requires a server that can be written to, and tables that this worker can work with, and says how its handlers limit
/// their task types, so that every worker keeps to it from now on, and which fields nobody is shown. A worker goes on where its server becomes a standby
/// later. Returns the id of the tables, which no others have.
pub(super) async fn prepare_tables(
    pool: &PgPool,
    schema: Schema,
    registry: &Registry,
) -> Result<Uuid, WorkerError> {
    let mut store = Store::keeping(pool.clone(), schema);
    let mut answer = prepare_tables_once(&mut store, schema).await;
    // Somebody may have spoiled a connection that lies in the pool, as by `set role`. It is closed with its first
    // error, and at last there is a new one.
    for _ in 0..pool.size() {
        match answer {
            Err(WorkerError::Database(sqlx::Error::Database(_))) => {
                answer = prepare_tables_once(&mut store, schema).await;
            }
            _ => break,
        }
    }
    let installation_id = answer?;
    let declared = limits::declare(&mut store, registry).await;
    declared.map_err(WorkerError::Database)?;
    let (task_types, fields) = registry.secrets();
    if !fields.is_empty() {
        let declared = match store.declare_secrets(&task_types, &fields).await {
            // Others have just said it, whom this isolation level did not see: they stand there now.
            Err(error) if is_unserializable(&error) => {
                store.declare_secrets(&task_types, &fields).await
            }
            declared => declared,
        };
        declared.map_err(WorkerError::Database)?;
    }
    Ok(installation_id)
}

async fn prepare_tables_once(store: &mut Store<'_>, schema: Schema) -> Result<Uuid, WorkerError> {
    if store.is_standby().await.map_err(WorkerError::Database)? {
        return Err(WorkerError::Standby);
    }
    migrate::require_version(store, schema).await?;
    foreign_keys::require_harmless(store).await?;
    ids::advance(store).await;
    store.installation().await.map_err(WorkerError::Database)
}

/// Requires a pool in which handlers do not wait for each other's connections, nor the worker for theirs.
pub(super) fn require_connections(
    pool: &PgPool,
    settings: &Settings,
    registry: &Registry,
) -> Result<(), WorkerError> {
    let demand = Demand::of(settings, registry);
    let needed = demand.needed();
    let found = pool.options().get_max_connections();
    if found < needed {
        return Err(WorkerError::PoolTooSmall {
            needed,
            for_handlers: demand.for_handlers(),
            found,
        });
    }
    Ok(())
}

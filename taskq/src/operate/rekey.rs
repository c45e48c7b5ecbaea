//! Changing the key of what is stored.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::PgPool;

use super::pause::operate;
use crate::cipher::{self, Keys, OpenError};
use crate::error::{OperateError, error_text};
use crate::store::{OldKeyRow, Refusal, Schema, Store};

/// How many tasks one statement finds and writes.
const BATCH: usize = 500;

/// How many ids are told of each kind of trouble.
const MOST_TOLD: usize = 100;

/// What [`rekey`] has done, and what it has not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Rekeyed {
    /// How many tasks are encrypted with the newest key now, and were not before.
    pub rewritten: u64,
    /// How many have another key still because they run, or were claimed or changed meanwhile: run it again later.
    pub busy: u64,
    /// How many are encrypted with a key that was not given, by its id.
    pub missing_keys: BTreeMap<String, u64>,
    /// The first hundred that do not decrypt.
    pub damaged: Vec<i64>,
    /// The first hundred whose new payload Postgres refuses, and what it says.
    pub refused: Vec<(i64, String)>,
}

impl Rekeyed {
    /// Tells whether no task is left that needs an older key.
    pub fn is_complete(&self) -> bool {
        let Self {
            busy,
            missing_keys,
            damaged,
            refused,
            ..
        } = self;
        *busy == 0 && missing_keys.is_empty() && damaged.is_empty() && refused.is_empty()
    }
}

/// Encrypts the fields of all waiting, dead and refused tasks with the newest of these keys, where another has encrypted
/// them. Once it [is complete](Rekeyed::is_complete), and no process encrypts with an older key any more, that key can go.
///
/// It reads all tasks in the order of their ids, and writes five hundred at a time, each only if nothing else has changed it
/// meanwhile. It holds up no claim for longer than that write. Completed tasks in the history stay as they are: nobody
/// decrypts them.
///
/// ```no_run
/// use taskq::encryption::{self, Keys};
///
/// # async fn f(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
/// let keys: Keys = std::env::var("TASKQ_KEYS")?.parse()?;
/// let rekeyed = encryption::rekey(&pool, taskq::Schema::default(), &keys).await?;
/// println!("{} rewritten, {} busy", rekeyed.rewritten, rekeyed.busy);
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// [`OperateError`] if Postgres cannot be asked, or does not let this role update tasks. What was written stays.
///
/// # Cancel safety
///
/// Dropped, it stops between two writes or leaves open whether the last has happened. Run it again.
pub async fn rekey(pool: &PgPool, schema: Schema, keys: &Keys) -> Result<Rekeyed, OperateError> {
    let operator = operate(pool).schema(schema);
    let mut store = operator.store();
    let mut rekeyed = Rekeyed::default();
    let mut after = i64::MIN;
    loop {
        let found = store.of_older_keys(after, keys.newest_id(), BATCH).await;
        let found = found.map_err(|error| operator.error(error))?;
        let Some(last) = found.last() else { break };
        after = last.task_id;
        let mut changed = Vec::new();
        for row in &found {
            match cipher::reencrypt(keys, &row.task_type, &row.payload) {
                Ok(Some(payload)) => changed.push((row, payload)),
                Ok(None) => {}
                Err(OpenError::NoKey { key }) => *rekeyed.missing_keys.entry(key).or_default() += 1,
                Err(OpenError::Damaged { .. }) if rekeyed.damaged.len() < MOST_TOLD => {
                    rekeyed.damaged.push(row.task_id);
                }
                Err(OpenError::Damaged { .. }) => {}
            }
        }
        let written = write(&mut store, &changed, &mut rekeyed).await;
        written.map_err(|error| operator.error(error))?;
    }
    let running = store.run_with_older_keys(keys.newest_id()).await;
    let running = running.map_err(|error| operator.error(error))?;
    rekeyed.busy += running.unsigned_abs();
    Ok(rekeyed)
}

/// Writes new payloads. One that Postgres refuses does not hold up the others.
async fn write(
    store: &mut Store<'_>,
    tasks: &[(&OldKeyRow, Box<RawValue>)],
    rekeyed: &mut Rekeyed,
) -> Result<(), sqlx::Error> {
    let error = match store.reencrypt(tasks).await {
        Ok(written) => {
            let written = written.len() as u64;
            rekeyed.rewritten += written;
            rekeyed.busy += tasks.len() as u64 - written;
            return Ok(());
        }
        Err(error) => error,
    };
    if Refusal::of(&error).is_none() {
        return Err(error);
    }
    match tasks {
        [] => Ok(()),
        [(row, _)] => {
            if rekeyed.refused.len() < MOST_TOLD {
                rekeyed.refused.push((row.task_id, error_text(&error)));
            }
            Ok(())
        }
        several => {
            let (first, second) = several.split_at(several.len() / 2);
            Box::pin(write(store, first, rekeyed)).await?;
            Box::pin(write(store, second, rekeyed)).await
        }
    }
}

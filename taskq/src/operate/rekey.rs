//! Changing the key of what is stored.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::PgPool;

use super::pause::operate;
use crate::cipher::{self, Keys, OpenError};
use crate::error::{OperateError, error_text};
use crate::store::{OldKeyRow, Place, Refusal, Schema, Store};

/// How many payloads one statement finds and writes.
const BATCH: usize = 500;

/// How many are told of each kind of trouble.
const MOST_TOLD: usize = 100;

/// Whose a payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Owner {
    /// That of the task with this id.
    Task(i64),
    /// That of the group with this id, for its task, which is not enqueued yet.
    Group(i64),
}

impl Owner {
    fn of(place: Place, id: i64) -> Self {
        match place {
            Place::Waiting | Place::Dead | Place::Refused => Self::Task(id),
            Place::Groups => Self::Group(id),
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Task(task_id) => write!(f, "task {task_id}"),
            Self::Group(group_id) => write!(f, "the task of group {group_id}"),
        }
    }
}

/// What [`rekey`] has done, and what it has not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Rekeyed {
    /// How many payloads are encrypted with the newest key now, and were not before.
    pub rewritten: u64,
    /// How many have another key still because their tasks run, or were moved or changed meanwhile: run it again later.
    pub busy: u64,
    /// How many are encrypted with a key that was not given, by its id.
    pub missing_keys: BTreeMap<String, u64>,
    /// The first hundred that do not decrypt.
    pub damaged: Vec<Owner>,
    /// The first hundred that Postgres does not take when they are written anew, and what it says.
    pub refused: Vec<(Owner, String)>,
}

impl Rekeyed {
    /// Tells whether nothing is left that needs an older key.
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

/// Encrypts the fields of all waiting, dead and refused tasks, and of the tasks of [groups](crate::Group) that are open, with
/// the newest of these keys, where another has encrypted them. Once it [is complete](Rekeyed::is_complete), and no process
/// encrypts with an older key any more, that key can go.
///
/// It reads all tasks in the order of their ids, and writes five hundred at a time, each only if nothing else has changed it
/// meanwhile. It holds up no claim for longer than that write. At last it counts what is left, also of tasks that run.
/// Completed tasks in the history stay as they are: nobody decrypts them.
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
    let mut walk = Walk {
        store: operator.store(),
        keys,
        rekeyed: Rekeyed::default(),
        untouched: 0,
    };
    for place in Place::ALL {
        let walked = walk.through(place).await;
        walked.map_err(|error| operator.error(error))?;
    }
    // A task may have come back to where the walk had been already.
    let left = walk.store.left_with_older_keys(keys.newest_id()).await;
    let left = left.map_err(|error| operator.error(error))?;
    walk.rekeyed.busy = left.unsigned_abs().saturating_sub(walk.untouched);
    Ok(walk.rekeyed)
}

struct Walk<'a> {
    store: Store<'a>,
    keys: &'a Keys,
    rekeyed: Rekeyed,
    /// How many have another key for a reason that time does not mend.
    untouched: u64,
}

impl Walk<'_> {
    async fn through(&mut self, place: Place) -> Result<(), sqlx::Error> {
        let mut after = i64::MIN;
        loop {
            let newest = self.keys.newest_id();
            let found = self
                .store
                .of_older_keys(place, after, newest, BATCH)
                .await?;
            let Some(last) = found.last() else {
                return Ok(());
            };
            after = last.id;
            let mut changed = Vec::new();
            for row in &found {
                match cipher::reencrypt(self.keys, &row.task_type, &row.payload) {
                    Ok(Some(payload)) => changed.push((row, payload)),
                    Ok(None) => {}
                    Err(OpenError::NoKey { key }) => {
                        self.untouched += 1;
                        *self.rekeyed.missing_keys.entry(key).or_default() += 1;
                    }
                    Err(OpenError::Damaged { .. }) => {
                        self.untouched += 1;
                        let damaged = &mut self.rekeyed.damaged;
                        if damaged.len() < MOST_TOLD {
                            damaged.push(Owner::of(place, row.id));
                        }
                    }
                }
            }
            self.write(place, &changed).await?;
        }
    }

    /// Writes new payloads. One that Postgres refuses does not hold up the others.
    async fn write(
        &mut self,
        place: Place,
        rows: &[(&OldKeyRow, Box<RawValue>)],
    ) -> Result<(), sqlx::Error> {
        let error = match self.store.reencrypt(place, rows).await {
            Ok(written) => {
                self.rekeyed.rewritten += written.unsigned_abs();
                return Ok(());
            }
            Err(error) => error,
        };
        if Refusal::of(&error).is_none() {
            return Err(error);
        }
        match rows {
            [] => Ok(()),
            [(row, _)] => {
                self.untouched += 1;
                let refused = &mut self.rekeyed.refused;
                if refused.len() < MOST_TOLD {
                    refused.push((Owner::of(place, row.id), error_text(&error)));
                }
                Ok(())
            }
            several => {
                let (first, second) = several.split_at(several.len() / 2);
                Box::pin(self.write(place, first)).await?;
                Box::pin(self.write(place, second)).await
            }
        }
    }
}

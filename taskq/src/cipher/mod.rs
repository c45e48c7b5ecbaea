//! Encrypting fields of payloads, and the keys for it.

mod envelope;
mod keys;

use std::sync::{Arc, PoisonError, RwLock};

use serde_json::value::RawValue;

pub(crate) use self::envelope::OpenError;
pub use self::keys::{Keys, KeysError};
use crate::attempt::metadata::Metadata;
use crate::error::DecodeError;

/// The name in a task's metadata under which its enqueue says that fields are encrypted.
pub(crate) const ENCRYPTED: &str = "task.encrypted";

/// The name in a task's metadata that tells for which key it waits.
pub(crate) const MISSING_KEY: &str = "task.missing_key";

static INSTALLED: RwLock<Option<Arc<Keys>>> = RwLock::new(None);

/// Sets the keys of this process, in place of those that it has. Enqueues use them, and so does each worker that
/// [`WorkerBuilder::keys`](crate::WorkerBuilder::keys) gives no others.
///
/// `#[encrypted]` on an argument of a handler, or `#[taskq(encrypted)]` on a field of a payload, has its value encrypted
/// before an enqueue sends it, and decrypted before the handler is given it. The table, its backups, its replicas and the
/// log of Postgres have an envelope in its place: the id of a key, and the encrypted value. What is encrypted is
/// [secret](crate::Secret) too.
///
/// Call it before the first enqueue, and again when there is a new key.
///
/// ```
/// use taskq::encryption::{self, Keys};
///
/// #[taskq::task]
/// async fn charge(order_id: i64, #[encrypted] card: String) -> Result<(), std::io::Error> {
///     println!("order {order_id}: a card of {} digits", card.len());
///     Ok(())
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // The first encrypts; all decrypt.
/// let keys = "2026-11:ZGVhZGJlZWZkZWFkYmVlZmRlYWRiZWVmZGVhZGJlZWY=, \
///             2026-05:YmVlZmRlYWRiZWVmZGVhZGJlZWZkZWFkYmVlZmRlYWQ=";
/// encryption::install(keys.parse::<Keys>()?);
/// # Ok(()) }
/// ```
pub fn install(keys: Keys) {
    let mut installed = INSTALLED.write().unwrap_or_else(PoisonError::into_inner);
    *installed = Some(Arc::new(keys));
}

/// Returns the keys of this process.
pub(crate) fn installed() -> Option<Arc<Keys>> {
    let installed = INSTALLED.read().unwrap_or_else(PoisonError::into_inner);
    installed.clone()
}

/// A task type has encrypted fields, and this process has no keys.
#[derive(Debug)]
pub(crate) struct NoKeys;

/// Returns a payload with these fields encrypted, with the keys of this process.
pub(crate) fn encrypt(
    task_type: &str,
    fields: &[&str],
    raw: &RawValue,
) -> Result<Box<RawValue>, NoKeys> {
    let keys = installed().ok_or(NoKeys)?;
    Ok(envelope::seal(&keys, task_type, fields, raw))
}

/// Returns a payload with its envelopes opened; `None` if it has none.
pub(crate) fn decrypt(
    keys: Option<&Keys>,
    task_type: &str,
    raw: &RawValue,
) -> Result<Option<Box<RawValue>>, OpenError> {
    envelope::open(keys, task_type, raw)
}

/// Returns a payload with what older keys have encrypted encrypted anew; `None` if there is nothing of that.
pub(crate) fn reencrypt(
    keys: &Keys,
    task_type: &str,
    raw: &RawValue,
) -> Result<Option<Box<RawValue>>, OpenError> {
    envelope::reseal(keys, task_type, raw)
}

/// Tells whether a task may have encrypted fields: its type says it today, or its enqueue said it once.
pub(crate) fn may_be_encrypted(declared: &[&str], metadata: &Metadata) -> bool {
    !declared.is_empty() || metadata.get(ENCRYPTED).is_some()
}

/// Reads a payload of a type as a worker does, with the keys of this process.
pub(crate) fn read_with(
    task_type: &str,
    raw: &RawValue,
    read: impl FnOnce(&RawValue) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    match decrypt(installed().as_deref(), task_type, raw) {
        Ok(None) => read(raw),
        Ok(Some(opened)) => read(&opened),
        Err(error) => Err(error.into()),
    }
}

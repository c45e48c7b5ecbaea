//! What enqueueing needs to know of a task type: its name, its defaults, its JSON.

use serde_json::value::RawValue;

#[cfg(feature = "encryption")]
use crate::cipher::{self, NoKeys};
use crate::error::{DecodeError, EncodeError, InvalidPayload, Secrets};
use crate::json;
use crate::task::options::TaskOptions;

/// The data of one task type, and what an enqueue writes beside it.
///
/// `#[task]` implements it for the struct that it makes of a handler's owned arguments, and
/// [`derive(taskq::Payload)`](macro@crate::Payload) for a struct or enum of yours. The JSON of the value
/// is the column `payload`, [`TASK_TYPE`](Self::TASK_TYPE) the column `task_type`.
///
/// It can be written by hand, for what neither can express:
///
/// ```
/// use taskq::json::{self, RawValue};
/// use taskq::error::{DecodeError, EncodeError};
/// use taskq::handler::TaskOptions;
/// use taskq::Payload;
///
/// /// The ids of users, as a bare array: `[1, 2, 3]`.
/// struct Invite(Vec<i64>);
///
/// impl Payload for Invite {
///     const TASK_TYPE: &'static str = "invite";
///     const OPTIONS: TaskOptions = TaskOptions::new().queue("mail").max_attempts(5);
///
///     fn encode(&self) -> Result<Box<RawValue>, EncodeError> {
///         json::encode(&self.0)
///     }
///
///     fn decode(raw: &RawValue, _version: Option<u16>) -> Result<Self, DecodeError> {
///         json::decode(raw).map(Self)
///     }
/// }
/// # let raw = Invite(vec![1, 2]).encode().unwrap();
/// # assert_eq!(raw.get(), "[1,2]");
/// # assert_eq!(Invite::decode(&raw, None).unwrap().0, [1, 2]);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a task payload",
    label = "not a task payload",
    note = "put `#[taskq::task]` on its handler: that makes the payload struct and implements `taskq::Payload` for it",
    note = "for a payload in another crate than its handler, write `#[derive(Serialize, Deserialize, taskq::Payload)]` on the payload"
)]
pub trait Payload: Sized + Send + 'static {
    /// The wire name, written to the column `task_type`.
    const TASK_TYPE: &'static str;
    /// The queue, the priority, and what else the type says of its tasks.
    const OPTIONS: TaskOptions = TaskOptions::new();

    /// Whether [`validate`](Self::validate) is one of the payload's own. What `#[task]` makes says no where
    /// there is none, and then nothing that calls it is compiled.
    #[doc(hidden)]
    const HAS_VALIDATION: bool = true;

    /// Whether [`encode`](Self::encode) makes sure that [`decode`](Self::decode) reads what it writes, as that
    /// of the macros does.
    #[doc(hidden)]
    const IS_EXACT: bool = false;

    /// Writes the value as JSON.
    ///
    /// # Errors
    ///
    /// The value cannot be written, such as one with a float that is `NaN`: see [`json::encode`](crate::json::encode).
    fn encode(&self) -> Result<Box<RawValue>, EncodeError>;

    /// Reads a value of the given version. A row without one, from a bare insert, may be of any.
    ///
    /// # Errors
    ///
    /// The JSON does not fit, or is of a version that is not read.
    fn decode(raw: &RawValue, version: Option<u16>) -> Result<Self, DecodeError>;

    /// Says what is wrong with a value that has the right form: before it is enqueued, and after
    /// it was decoded. With `#[garde(…)]` on fields this is what garde finds.
    ///
    /// # Errors
    ///
    /// Names each value that may not be enqueued or run.
    fn validate(&self) -> Result<(), InvalidPayload> {
        Ok(())
    }

    /// Returns the JSON Schema of what is read, by which `tasks --lock` and `tasks --check` tell whether
    /// a change strands rows; `None` where there is none.
    #[cfg(feature = "schemars")]
    fn json_schema() -> Option<schemars::Schema> {
        None
    }

    /// Returns the JSON Schema of what is read of each older version, from
    /// [`oldest_version`](TaskOptions::oldest_version) on; `None` where there is none.
    #[cfg(feature = "schemars")]
    fn older_json_schemas() -> Vec<Option<schemars::Schema>> {
        Vec::new()
    }
}

/// A task type as those see it who insert and run its tasks: its name, and what it says of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TaskType {
    pub(crate) name: &'static str,
    pub(crate) options: &'static TaskOptions,
}

impl TaskType {
    pub(crate) const fn of<P: Payload>() -> Self {
        Self {
            name: P::TASK_TYPE,
            options: const { &P::OPTIONS },
        }
    }
}

/// Writes a payload as an enqueue does: validates it, and makes sure that a worker can read it.
pub(crate) fn write<P: Payload>(payload: &P) -> Result<Box<RawValue>, Unwritable> {
    if P::HAS_VALIDATION
        && let Err(invalid) = payload.validate()
    {
        return Err(Unwritable::Invalid(match P::OPTIONS.secret {
            [] => invalid,
            fields => {
                let raw = payload.encode().ok();
                invalid.hide(&Secrets::of(fields, raw.as_deref()))
            }
        }));
    }
    let raw = payload.encode().map_err(|error| match P::OPTIONS.secret {
        [] => error,
        fields => error.hide(&Secrets::of(fields, None)),
    })?;
    let oversize = match P::IS_EXACT {
        true => json::oversize(&raw)?,
        false => json::oversize_of_any(&raw)?,
    };
    if let Some(size) = oversize {
        return Err(Unwritable::TooLarge { size });
    }
    if !P::IS_EXACT
        && let Err(error) = P::decode(&raw, Some(P::OPTIONS.version))
    {
        let error = hide::<P>(error, &raw);
        return Err(EncodeError::unreadable(error).into());
    }
    #[cfg(feature = "encryption")]
    if !P::OPTIONS.encrypted.is_empty() {
        return encrypt::<P>(&raw);
    }
    Ok(raw)
}

/// Encrypts what the type has encrypted.
#[cfg(feature = "encryption")]
fn encrypt<P: Payload>(raw: &RawValue) -> Result<Box<RawValue>, Unwritable> {
    let encrypted = cipher::encrypt(P::TASK_TYPE, P::OPTIONS.encrypted, raw);
    let encrypted = encrypted.map_err(|NoKeys| Unwritable::NoKeys)?;
    // An envelope is longer than its value.
    match json::oversize(&encrypted)? {
        Some(size) => Err(Unwritable::TooLarge { size }),
        None => Ok(encrypted),
    }
}

/// Why a payload is not enqueued.
#[derive(Debug)]
pub(crate) enum Unwritable {
    Invalid(InvalidPayload),
    Encode(EncodeError),
    TooLarge {
        size: usize,
    },
    /// It has encrypted fields, and this process has no keys.
    #[cfg(feature = "encryption")]
    NoKeys,
}

impl From<EncodeError> for Unwritable {
    fn from(error: EncodeError) -> Self {
        Self::Encode(error)
    }
}

/// Reads a payload as a worker does: decodes it, and then validates it.
pub(crate) fn read<P: Payload>(raw: &RawValue, version: Option<u16>) -> Result<P, DecodeError> {
    let mut read = P::decode(raw, version);
    if P::HAS_VALIDATION
        && let Ok(payload) = &read
        && let Err(invalid) = payload.validate()
    {
        read = Err(DecodeError::invalid(invalid));
    }
    match P::OPTIONS.secret {
        [] => read,
        _ => read.map_err(|error| hide::<P>(error, raw)),
    }
}

/// Takes secret values out of what is said about a payload.
fn hide<P: Payload>(error: DecodeError, raw: &RawValue) -> DecodeError {
    match P::OPTIONS.secret {
        [] => error,
        fields => error.hide(&Secrets::of(fields, Some(raw))),
    }
}

//! What can go wrong, at each boundary, and what to do about it.

mod attempt;
mod begin;
mod database;
mod enqueue;
mod health;
mod migrate;
mod operate;
mod payload;
mod result;
#[cfg(feature = "cron")]
mod schedule;
mod schema;
mod secrets;
mod text;
mod veiled;
mod wait;
mod worker;

use std::error::Error;

pub(crate) use self::attempt::PanicPlace;
pub use self::attempt::{AttemptError, AttemptReport, Panicked, TimedOut};
pub use self::begin::BeginError;
pub(crate) use self::database::of_database;
pub(crate) use self::enqueue::Count;
pub use self::enqueue::EnqueueError;
pub use self::health::NotReady;
pub(crate) use self::migrate::missing_table;
pub use self::migrate::{MigrateError, SchemaTooNew};
pub use self::operate::OperateError;
pub use self::payload::{DecodeError, EncodeError, InvalidPayload};
pub use self::result::ResultError;
#[cfg(feature = "cron")]
pub use self::schedule::ScheduleError;
pub use self::schema::InvalidSchemaName;
pub(crate) use self::secrets::{MASK, Secrets};
use self::text::{advice, cause};
pub(crate) use self::text::{chain, error_text, levels};
pub(crate) use self::veiled::{message_without_values, quotes_values, unveiled, veiled};
pub use self::wait::WaitError;
pub use self::worker::{MissingState, WorkerError};

/// Any error, as a handler returns it.
pub type BoxError = Box<dyn Error + Send + Sync + 'static>;

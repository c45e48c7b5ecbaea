//! What code made by `#[task]` names. Not public API.
//!
//! Everything here is reached as `::taskq::__private::…`: generated code names nothing else. What the
//! user's types must be, and which trait reports which mistake, is in `assert.rs`.

mod assert;
mod codec;
mod handler;
mod register;
mod stub;

pub use std::primitive::{bool, str, u16};
pub use std::{
    boxed::Box, file, fmt, line, option::Option, result::Result, time::Duration, vec, vec::Vec,
};

#[cfg(feature = "cron")]
pub use chrono_tz as timezones;
pub use futures_util::future::BoxFuture;
pub use inventory;
#[cfg(feature = "schemars")]
pub use schemars;
pub use serde;
pub use serde_json::value::RawValue;
pub use sqlx::PgConnection;

pub use self::assert::{
    AsksForOne, AssertField, AssertJson, AttemptOfOne, Field, FitsMany, Inject, Json, Loses, Lost,
    NoTask, NotOfOne, NothingLost, OlderPayload, ResultOf, Returned, ReturnedEach, Serde,
    SharedState,
};
#[cfg(feature = "garde")]
pub use self::codec::garde;
#[cfg(feature = "schemars")]
pub use self::codec::probe_older;
pub use self::codec::{Codec, FirstStep, NoCodec, first_step, further_step, read_older};
pub use self::handler::{run, run_many, run_one_of_many};
pub use self::stub::{NoPayload, stub};
pub use crate::attempt::backoff::{Retry, RetryFn};
pub use crate::attempt::batch::{IntoKeptEach, IntoOutcomes, Outcomes};
pub use crate::attempt::discarded::{DiscardFn, Discarded};
pub use crate::attempt::outcome::{IntoKept, IntoOutcome, Outcome};
pub use crate::attempt::state::{Parts, StateRequirement};
pub use crate::attempt::tx_handle::TxHandle;
#[cfg(feature = "cron")]
pub use crate::calendar::{CatchUp, Overlap};
pub use crate::enqueue::{Enqueue, enqueue};
pub use crate::error::{DecodeError, EncodeError, InvalidPayload};
#[cfg(feature = "schemars")]
pub use crate::json::schema::{FieldSchema, NoSchema, Probe, prelude as schema_prelude};
pub use crate::operate::result::KeepsResult;
pub use crate::task::batch::BatchFn;
pub use crate::task::declaration::{Declaration, Order, Task, TimeoutFn};
pub use crate::task::keep::{Keep, KeepFor};
pub use crate::task::limit::{Concurrency, Rate};
pub use crate::task::options::TaskOptions;
pub use crate::task::payload::Payload;
pub use crate::task::registration::Registration;
#[cfg(feature = "cron")]
pub use crate::task::schedule::Schedule;
pub use crate::task::secret::MASKED;
pub use crate::task::sequence::{OnDead, Sequence};
pub use crate::task::unique::{OnConflict, Unique, Until};
pub use crate::task::upgrade::ReadOlder;

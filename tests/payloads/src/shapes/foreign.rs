//! Types of other crates.

use std::ops::Bound;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, FixedOffset, NaiveDate, TimeZone, Utc};
use fastrand::Rng;
use taskq::json::RawValue;
use uuid::Uuid;

use super::structs::Text;
use crate::Any;

impl Any for PathBuf {
    fn any(rng: &mut Rng) -> Self {
        Text::any(rng).0.into()
    }
}

impl Any for Duration {
    fn any(rng: &mut Rng) -> Self {
        Self::new(Any::any(rng), rng.u32(..1_000_000_000))
    }
}

impl Any for SystemTime {
    fn any(rng: &mut Rng) -> Self {
        Self::UNIX_EPOCH + Duration::new(rng.u64(..1 << 40), rng.u32(..1_000_000_000))
    }
}

impl Any for NaiveDate {
    fn any(rng: &mut Rng) -> Self {
        DateTime::<Utc>::any(rng).date_naive()
    }
}

impl Any for DateTime<Utc> {
    fn any(rng: &mut Rng) -> Self {
        let seconds = rng.i64(-(1 << 42)..1 << 42);
        Self::from_timestamp(seconds, rng.u32(..1_000_000_000)).expect("a time")
    }
}

impl Any for DateTime<FixedOffset> {
    fn any(rng: &mut Rng) -> Self {
        let offset = FixedOffset::east_opt(60 * rng.i32(-1439..1440)).expect("an offset");
        offset.from_utc_datetime(&DateTime::<Utc>::any(rng).naive_utc())
    }
}

impl Any for Uuid {
    fn any(rng: &mut Rng) -> Self {
        Self::from_u128(rng.u128(..))
    }
}

impl<T: Any> Any for Bound<T> {
    fn any(rng: &mut Rng) -> Self {
        match rng.u8(..3) {
            0 => Self::Unbounded,
            1 => Self::Included(T::any(rng)),
            _ => Self::Excluded(T::any(rng)),
        }
    }
}

impl Any for Box<RawValue> {
    fn any(rng: &mut Rng) -> Self {
        let odd = [
            "null",
            "7",
            "1.50",
            "[1, {\"a\": [null]}]",
            "\"\\u00e9\"",
            "{\"aa\":1,\"b\":2}",
            "1e400",
            "1e131072",
            "0.5e-20000",
            "\"\\u0000\"",
            "\"\\ud800\"",
            "\"\\ud83e\\udd80\"",
            "{\"a\":1,\"\\u0061\":2}",
            "{\"a\":{\"b\":1,\"b\":2}}",
        ];
        let text = odd[rng.usize(..odd.len())];
        RawValue::from_string(text.to_owned()).expect("JSON")
    }
}

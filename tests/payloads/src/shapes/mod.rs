//! Types of all shapes.

#![allow(missing_docs, reason = "their names say it")]

mod enums;
mod foreign;
mod odd;
mod structs;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::Bound;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, FixedOffset, NaiveDate, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use taskq::json::RawValue;
use uuid::Uuid;

use crate::Any;

pub use self::enums::*;
pub use self::odd::*;
pub use self::structs::*;

/// Whether values of a type are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    Never,
    Some,
    All,
}

/// Does something with each type.
pub trait Each {
    fn shape<T: Any + fmt::Debug + Serialize + DeserializeOwned + Send + 'static>(
        &mut self,
        name: &'static str,
        refused: Refused,
    );
}

macro_rules! shapes {
    ($each:ident: $($refused:ident { $($type:ty),* $(,)? })*) => {
        $($($each.shape::<$type>(stringify!($type), Refused::$refused);)*)*
    };
}

/// Names all types.
pub fn each(each: &mut impl Each) {
    shapes! { each:
        Never {
            bool, i8, i16, i32, i64, i128, u8, u16, u32, u64, u128, Finite<f32>, Finite<f64>, Text,
            (), Unit, Newtype, Pair, Word, (i64, Finite<f32>, Text), [Finite<f64>; 3], Vec<Text>,
            Option<i32>, Option<Vec<()>>, Option<Box<Text>>, Vec<Option<u8>>, Bytes,
            Result<u8, Text>, Bound<i128>, Duration, SystemTime, IpAddr, PathBuf, NaiveDate,
            DateTime<Utc>, DateTime<FixedOffset>, Uuid, Value, Unordered,
            BTreeMap<Text, Finite<f64>>, BTreeMap<i8, u8>, BTreeMap<u128, u8>, BTreeMap<bool, ()>,
            BTreeMap<Word, Word>, BTreeMap<Text, BTreeMap<i64, Option<Vec<u8>>>>,
            Empty, Optional, FlatStruct, FlatSingle, BesideFlat, SkipsWell, SkipsNone, Patch,
            Sealed, Shown, External, Internal, Adjacent, Untagged,
        }
        Some {
            f32, f64, char, String, Plain, Option<f64>, Vec<Option<f32>>, Option<()>, Option<Unit>,
            Option<Option<u8>>, Vec<Option<Option<Text>>>, Option<Value>, BTreeMap<char, u8>,
            BTreeMap<Text, f64>, Box<RawValue>, Option<Box<RawValue>>, FlatMap, FlatTwice,
            FlatOption, FlatKeys, Skips, Forgets, Trimmed, InternalWide, InternalTwice, Measured,
            ContentFirst, UntaggedWide, Pairs, Deep, DeepEnum, FlatWideMap, FlatNumberMap,
        }
        All { FlatWide, FlatRaw, Renamed }
    }
}

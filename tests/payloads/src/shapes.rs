//! Types of all shapes.

#![allow(missing_docs, reason = "their names say it")]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::net::IpAddr;
use std::ops::Bound;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, FixedOffset, NaiveDate, TimeZone, Utc};
use fastrand::Rng;
use serde::de::{DeserializeOwned, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use taskq::json::RawValue;
use uuid::Uuid;

use crate::Any;

/// A finite float: what nobody would expect to be refused.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Finite<T>(pub T);

macro_rules! finite {
    ($($type:ident)*) => {$(
        impl Any for Finite<$type> {
            fn any(rng: &mut Rng) -> Self {
                loop {
                    let float = $type::any(rng);
                    if float.is_finite() {
                        return Self(float);
                    }
                }
            }
        }
    )*};
}

finite!(f32 f64);

/// A text that Postgres can store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Text(pub String);

impl Any for Text {
    fn any(rng: &mut Rng) -> Self {
        Self(String::any(rng).replace('\0', ""))
    }
}

macro_rules! structs {
    ($($(#[$meta:meta])* $name:ident {
        $($(#[$field_meta:meta])* $field:ident: $type:ty),* $(,)?
    })*) => {$(
        #[derive(Debug, Serialize, Deserialize)]
        $(#[$meta])*
        pub struct $name { $($(#[$field_meta])* pub $field: $type),* }

        impl Any for $name {
            fn any(rng: &mut Rng) -> Self {
                let _ = &rng;
                Self { $($field: Any::any(rng)),* }
            }
        }
    )*};
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Unit;

impl Any for Unit {
    fn any(_rng: &mut Rng) -> Self {
        Self
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Newtype(pub Option<Finite<f64>>);

impl Any for Newtype {
    fn any(rng: &mut Rng) -> Self {
        Self(Any::any(rng))
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Pair(pub i128, pub Finite<f32>);

impl Any for Pair {
    fn any(rng: &mut Rng) -> Self {
        Self(Any::any(rng), Any::any(rng))
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Word {
    Null,
    #[serde(rename = "two words \" \\")]
    Two,
}

impl Any for Word {
    fn any(rng: &mut Rng) -> Self {
        match rng.bool() {
            true => Self::Null,
            false => Self::Two,
        }
    }
}

structs! {
    Plain {
        id: u64,
        #[serde(rename = "type")]
        kind: Text,
        ratio: Finite<f64>,
        single: Finite<f32>,
        wide: (i128, u128),
        maybe: Option<Text>,
        many: Vec<Option<i8>>,
        unit: (),
        marker: Unit,
        word: Word,
        letter: char,
    }
    Empty {}
    Optional { left: Option<u8>, right: Option<Text> }

    // Behind `flatten`.
    FlatMap { id: u8, #[serde(flatten)] rest: BTreeMap<String, Finite<f64>> }
    FlatStruct { id: u8, #[serde(flatten)] inner: Inner }
    FlatTwice { #[serde(flatten)] inner: Inner, #[serde(flatten)] rest: BTreeMap<Text, Text> }
    FlatOption { id: u8, #[serde(flatten)] inner: Option<Optional> }
    FlatWide { id: i128, #[serde(flatten)] inner: Wide }
    FlatWideMap { #[serde(flatten)] rest: BTreeMap<Text, i128> }
    FlatKeys { #[serde(flatten)] inner: Keys }
    FlatRaw { #[serde(flatten)] inner: Raw }
    FlatNumberMap { #[serde(flatten)] rest: BTreeMap<i32, u8> }
    FlatSingle { #[serde(flatten)] inner: Single }
    BesideFlat { wide: i128, keys: BTreeMap<u64, u8>, #[serde(flatten)] inner: Inner }

    Inner { ratio: Finite<f64>, text: Text, count: u64 }
    Wide { wide: u128 }
    Keys { keys: BTreeMap<i16, u8> }
    Raw { raw: Box<RawValue> }
    Single { single: Finite<f32>, maybe: Option<Finite<f32>> }

    // With fields that are not written.
    Skips { #[serde(skip_serializing_if = "Vec::is_empty")] many: Vec<u8>, id: u8 }
    SkipsWell { #[serde(default, skip_serializing_if = "Vec::is_empty")] many: Vec<u8>, id: u8 }
    SkipsNone { #[serde(skip_serializing_if = "Option::is_none")] maybe: Option<u8> }
    Forgets { #[serde(default, skip_deserializing)] forgotten: u8 }
    Renamed { #[serde(rename(serialize = "a", deserialize = "b"))] field: u8 }

    // Where `null` is read with care.
    Patch {
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
        note: Option<Option<u8>>,
    }
    Measured { #[serde(deserialize_with = "null_is_nan")] ratio: f64 }

    // What is written differently each time.
    Sealed { #[serde(serialize_with = "seal", deserialize_with = "open")] text: Text }
    Shown { #[serde(serialize_with = "show")] text: Text }
    Trimmed { #[serde(deserialize_with = "trim")] text: Text }
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u8>>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

fn null_is_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

fn seal<S: Serializer>(text: &Text, serializer: S) -> Result<S::Ok, S::Error> {
    (fastrand::u64(..), text).serialize(serializer)
}

fn open<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
    <(u64, Text)>::deserialize(deserializer).map(|(_, text)| text)
}

fn show<S: Serializer>(text: &Text, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&text.0)
}

fn trim<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
    let Text(text) = Text::deserialize(deserializer)?;
    Ok(Text(text.trim().to_owned()))
}

macro_rules! enums {
    ($($(#[$meta:meta])* $name:ident { $($(#[$tuple:meta])? $variant:ident $of:tt),* $(,)? })*) => {$(
        #[derive(Debug, Serialize, Deserialize)]
        $(#[$meta])*
        pub enum $name { $($variant $of),* }
    )*};
}

/// What stands in variants, as random as it is elsewhere.
#[derive(Debug, Serialize, Deserialize)]
pub struct Held {
    ratio: Finite<f64>,
    single: Finite<f32>,
    big: u64,
    maybe: Option<Text>,
    words: BTreeMap<Word, i64>,
}

impl Any for Held {
    fn any(rng: &mut Rng) -> Self {
        Self {
            ratio: Any::any(rng),
            single: Any::any(rng),
            big: Any::any(rng),
            maybe: Any::any(rng),
            words: Any::any(rng),
        }
    }
}

enums! {
    External { Unit(), Newtype(Held), Tuple(u8, Finite<f64>), Struct { wide: i128, keys: BTreeMap<i8, u8> } }
    #[serde(tag = "t")]
    Internal { Newtype(Held), Struct { id: u64, single: Finite<f32> }, Empty {} }
    #[serde(tag = "t")]
    InternalWide { Struct { wide: i128 }, Narrow { narrow: i64 } }
    #[serde(tag = "t")]
    InternalTwice { Newtype(BTreeMap<Text, u8>) }
    #[serde(tag = "t", content = "v")]
    Adjacent { Newtype(Held), Tuple(u8, Finite<f64>), Struct { wide: i128, keys: BTreeMap<i8, u8> } }
    #[serde(tag = "type", content = "data")]
    ContentFirst { Newtype(Held), Narrow(i64), Struct { wide: i128, keys: BTreeMap<i8, u8> } }
    #[serde(untagged)]
    Untagged { Integer(i64), Float(Finite<f64>), Text(Text), Held(Held), Tuple(bool, Finite<f32>) }
    #[serde(untagged)]
    UntaggedWide { Wide { wide: i128 }, Keys { keys: BTreeMap<i8, u8> }, Narrow { narrow: i64 } }
}

macro_rules! any_of {
    ($($name:ident { $($variant:expr),* $(,)? })*) => {$(
        impl Any for $name {
            #[allow(clippy::redundant_closure_call, reason = "a table of closures")]
            fn any(rng: &mut Rng) -> Self {
                let variants: &[fn(&mut Rng) -> Self] = &[$($variant),*];
                variants[rng.usize(..variants.len())](rng)
            }
        }
    )*};
}

any_of! {
    External {
        |_| Self::Unit(),
        |rng| Self::Newtype(Any::any(rng)),
        |rng| Self::Tuple(Any::any(rng), Any::any(rng)),
        |rng| Self::Struct { wide: Any::any(rng), keys: Any::any(rng) },
    }
    Internal {
        |rng| Self::Newtype(Any::any(rng)),
        |rng| Self::Struct { id: Any::any(rng), single: Any::any(rng) },
        |_| Self::Empty {},
    }
    InternalWide {
        |rng| Self::Struct { wide: Any::any(rng) },
        |rng| Self::Narrow { narrow: Any::any(rng) },
    }
    InternalTwice { |rng| Self::Newtype(Any::any(rng)) }
    Adjacent {
        |rng| Self::Newtype(Any::any(rng)),
        |rng| Self::Tuple(Any::any(rng), Any::any(rng)),
        |rng| Self::Struct { wide: Any::any(rng), keys: Any::any(rng) },
    }
    ContentFirst {
        |rng| Self::Newtype(Any::any(rng)),
        |rng| Self::Narrow(Any::any(rng)),
        |rng| Self::Struct { wide: Any::any(rng), keys: Any::any(rng) },
    }
    Untagged {
        |rng| Self::Integer(Any::any(rng)),
        |rng| Self::Float(Any::any(rng)),
        |rng| Self::Text(Any::any(rng)),
        |rng| Self::Held(Any::any(rng)),
        |rng| Self::Tuple(Any::any(rng), Any::any(rng)),
    }
    UntaggedWide {
        |rng| Self::Wide { wide: Any::any(rng) },
        |rng| Self::Keys { keys: Any::any(rng) },
        |rng| Self::Narrow { narrow: Any::any(rng) },
    }
    IpAddr {
        |rng| IpAddr::from(rng.u32(..).to_be_bytes()),
        |rng| IpAddr::from(rng.u128(..).to_be_bytes()),
    }
    Value {
        |_| Self::Null,
        |rng| Self::Bool(rng.bool()),
        |rng| Self::from(i64::any(rng)),
        |rng| Self::from(u64::any(rng)),
        |rng| Self::from(Finite::<f64>::any(rng).0),
        |rng| Self::from(Text::any(rng).0),
        |rng| Self::Array(Any::any(rng)),
        |rng| Self::Object((0..rng.usize(..3)).map(|_| (Text::any(rng).0, Any::any(rng))).collect()),
    }
}

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

/// Bytes that are written as such.
pub struct Bytes(pub Vec<u8>);

impl Any for Bytes {
    fn any(rng: &mut Rng) -> Self {
        Self(Any::any(rng))
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;

        impl<'de> Visitor<'de> for Read {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                mut seq: A,
            ) -> Result<Bytes, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = seq.next_element()? {
                    bytes.push(byte);
                }
                Ok(Bytes(bytes))
            }
        }

        deserializer.deserialize_byte_buf(Read)
    }
}

/// What has no order.
#[derive(Serialize, Deserialize)]
pub struct Unordered {
    set: HashSet<Text>,
    map: HashMap<Text, HashSet<u8>>,
}

impl Any for Unordered {
    fn any(rng: &mut Rng) -> Self {
        Self {
            set: (0..rng.usize(..9)).map(|_| Text::any(rng)).collect(),
            map: (0..rng.usize(..9))
                .map(|_| {
                    (
                        Text::any(rng),
                        (0..rng.usize(..9)).map(|_| rng.u8(..)).collect(),
                    )
                })
                .collect(),
        }
    }
}

impl fmt::Debug for Unordered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut set: Vec<_> = self.set.iter().collect();
        set.sort();
        let map = self.map.iter().map(|(key, set)| {
            let mut set: Vec<_> = set.iter().collect();
            set.sort();
            (key, set)
        });
        (set, map.collect::<BTreeMap<_, _>>()).fmt(f)
    }
}

/// A list of pairs, written as a map: two may have one key.
#[derive(Debug)]
pub struct Pairs(pub Vec<(String, u8)>);

impl Any for Pairs {
    fn any(rng: &mut Rng) -> Self {
        // Few, of few keys; or more than are compared one by one.
        let (count, keys) = match rng.bool() {
            true => (rng.usize(..4), 6),
            false => (rng.usize(15..40), 2_000),
        };
        let key = |rng: &mut Rng| format!("{:02}\n", rng.u32(..keys));
        let pairs = (0..count).map(|_| (key(rng), Any::any(rng)));
        let mut pairs: Vec<_> = pairs.collect();
        // In the order in which they come back.
        pairs.sort_by(|(one, _), (other, _)| (one.len(), one).cmp(&(other.len(), other)));
        Self(pairs)
    }
}

impl Serialize for Pairs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = BTreeMap::<String, u8>::deserialize(deserializer)?;
        let mut pairs: Vec<_> = map.into_iter().collect();
        pairs.sort_by(|(one, _), (other, _)| (one.len(), one).cmp(&(other.len(), other)));
        Ok(Self(pairs))
    }
}

/// Arrays in arrays, up to deeper than anybody reads.
#[derive(Debug, Serialize, Deserialize)]
pub struct Deep(pub Vec<Deep>);

impl Deep {
    pub fn of(depth: usize) -> Self {
        match depth {
            1 => Self(Vec::new()),
            depth => Self(vec![Self::of(depth - 1)]),
        }
    }
}

impl Any for Deep {
    fn any(rng: &mut Rng) -> Self {
        Self::of(rng.usize(100..160))
    }
}

/// The same, of objects, and with a tag.
#[derive(Debug, Serialize, Deserialize)]
pub enum DeepEnum {
    End,
    Further(Box<DeepEnum>),
}

impl Any for DeepEnum {
    fn any(rng: &mut Rng) -> Self {
        (0..rng.usize(100..160)).fold(Self::End, |inner, _| Self::Further(Box::new(inner)))
    }
}

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

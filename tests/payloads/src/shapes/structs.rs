//! Structs, and values that fields have.

use std::collections::BTreeMap;

use fastrand::Rng;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use taskq::json::RawValue;

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

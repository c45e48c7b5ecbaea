//! Enums in each of the ways that serde writes them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use fastrand::Rng;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::structs::{Finite, Text, Word};
use crate::Any;

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

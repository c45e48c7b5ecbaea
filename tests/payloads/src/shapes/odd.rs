//! What is written in a way of its own, has no order, or is deep.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use fastrand::Rng;
use serde::de::Visitor;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::structs::Text;
use crate::Any;

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

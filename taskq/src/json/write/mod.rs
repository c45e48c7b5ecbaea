//! Writes a value as JSON that Postgres gives back unchanged, and notes what may not come back.
//!
//! Text, numbers and escapes are serde_json's. What differs is what `jsonb` would lose: a float is written so
//! that it stays one, and zero keeps its sign. All else that JSON does not tell apart is a [`Doubt`].

mod compound;
mod value;
mod writer;

pub(super) use self::writer::{Doubt, Doubtful, Writer};

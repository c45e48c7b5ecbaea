//! Random values.

use std::collections::{BTreeMap, BTreeSet};
use std::env;

use fastrand::Rng;

/// A type of which there are random values, the odd ones more often than the others.
pub trait Any: Sized {
    /// Returns one.
    fn any(rng: &mut Rng) -> Self;
}

/// Returns a source of chance: that of `TASKQ_SEED`, or another each time. Says which, for a test that fails.
pub fn seeded() -> Rng {
    let seed = env::var("TASKQ_SEED").ok();
    let seed = seed.map(|text| text.parse().expect("TASKQ_SEED is a number"));
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("TASKQ_SEED={seed}");
    Rng::with_seed(seed)
}

macro_rules! integers {
    ($($type:ident)*) => {$(
        impl Any for $type {
            fn any(rng: &mut Rng) -> Self {
                let odd = [0, 1, 7, $type::MIN, $type::MAX, $type::MAX / 2 + 1];
                match rng.bool() {
                    true => odd[rng.usize(..odd.len())],
                    // Of all lengths alike.
                    false => rng.$type(..) >> rng.u32(..$type::BITS),
                }
            }
        }
    )*};
}

integers!(i8 i16 i32 i64 i128 u8 u16 u32 u64 u128);

macro_rules! floats {
    ($($type:ident($bits:ident))*) => {$(
        impl Any for $type {
            fn any(rng: &mut Rng) -> Self {
                let odd = [
                    0.0, -0.0, 1.0, -1.5, 0.1, 1e15, 1e16, 1e17, 1e19, 1e30, 1.5e-7, 16_777_217.0,
                    $type::MIN, $type::MAX, $type::MIN_POSITIVE, $type::EPSILON, $type::from_bits(1),
                    $type::NAN, $type::INFINITY, $type::NEG_INFINITY,
                ];
                match rng.u8(..4) {
                    0 => odd[rng.usize(..odd.len())],
                    1 => $type::from(rng.i16(..)) / 100.0,
                    2 => rng.$type(),
                    _ => $type::from_bits(rng.$bits(..)),
                }
            }
        }
    )*};
}

floats!(f32(u32) f64(u64));

impl Any for bool {
    fn any(rng: &mut Rng) -> Self {
        rng.bool()
    }
}

impl Any for () {
    fn any(_rng: &mut Rng) -> Self {}
}

impl Any for char {
    fn any(rng: &mut Rng) -> Self {
        let odd = [
            '\0', '\u{1}', '\n', '"', '\\', '/', '\u{7f}', 'a', 'é', '\u{2028}', '\u{fffd}', '🦀',
        ];
        match rng.bool() {
            true => odd[rng.usize(..odd.len())],
            false => rng.char(..),
        }
    }
}

impl Any for String {
    fn any(rng: &mut Rng) -> Self {
        let odd = [
            "",
            "null",
            "id",
            "count",
            "t",
            "c",
            "1",
            "$serde_json::private::Number",
            "\\u0000",
            "a\\",
        ];
        if rng.u8(..4) == 0 {
            return odd[rng.usize(..odd.len())].into();
        }
        let length = rng.usize(..6);
        // A zero is so odd that hardly any text would be without one.
        let chars = std::iter::repeat_with(|| char::any(rng));
        let is_rare = |char: &char| *char != '\0';
        let mut text: String = chars.filter(is_rare).take(length).collect();
        if rng.u8(..30) == 0 {
            text.push('\0');
        }
        text
    }
}

impl<T: Any> Any for Option<T> {
    fn any(rng: &mut Rng) -> Self {
        (rng.u8(..3) > 0).then(|| T::any(rng))
    }
}

impl<T: Any> Any for Box<T> {
    fn any(rng: &mut Rng) -> Self {
        Box::new(T::any(rng))
    }
}

impl<T: Any, E: Any> Any for Result<T, E> {
    fn any(rng: &mut Rng) -> Self {
        match rng.bool() {
            true => Ok(T::any(rng)),
            false => Err(E::any(rng)),
        }
    }
}

impl<T: Any> Any for Vec<T> {
    fn any(rng: &mut Rng) -> Self {
        (0..rng.usize(..4)).map(|_| T::any(rng)).collect()
    }
}

impl<T: Any, const N: usize> Any for [T; N] {
    fn any(rng: &mut Rng) -> Self {
        std::array::from_fn(|_| T::any(rng))
    }
}

impl<K: Any + Ord, V: Any> Any for BTreeMap<K, V> {
    fn any(rng: &mut Rng) -> Self {
        (0..rng.usize(..4))
            .map(|_| (K::any(rng), V::any(rng)))
            .collect()
    }
}

impl<T: Any + Ord> Any for BTreeSet<T> {
    fn any(rng: &mut Rng) -> Self {
        (0..rng.usize(..4)).map(|_| T::any(rng)).collect()
    }
}

macro_rules! tuples {
    ($(($($part:ident)*))*) => {$(
        impl<$($part: Any),*> Any for ($($part,)*) {
            fn any(rng: &mut Rng) -> Self {
                ($($part::any(rng),)*)
            }
        }
    )*};
}

tuples!((A)(A B)(A B C)(A B C D));

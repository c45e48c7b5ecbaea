//! The arrays of a row, read element by element where they lie in the answer.
//!
//! A claim's answer has a dozen arrays of as many elements as it took tasks. The driver makes a vector of each, and asks
//! of each element anew what type it has: that took half of all that a worker does for a task that does nothing.

use std::marker::PhantomData;

use chrono::{DateTime, Utc};
use sqlx::postgres::{PgRow, PgValueFormat};
use sqlx::{Error, Row, ValueRef};

/// From the epoch of Unix to that of Postgres, in microseconds.
const EPOCH: i64 = 946_684_800_000_000;

/// An array in the binary format of Postgres, and how much of it is unread.
pub(super) struct Array<'r, T> {
    unread: &'r [u8],
    left: usize,
    element: PhantomData<T>,
}

/// A column of such arrays. It may say nothing at all, null or an empty array, where all elements are the same.
pub(super) struct Column<'r, T> {
    array: Option<Array<'r, T>>,
    same: Option<T>,
}

/// A type of elements.
pub(super) trait Element<'r>: Sized {
    /// The type's id in Postgres, which an array says once.
    const OID: u32;

    /// Reads an element; nothing stands for null.
    fn read(bytes: Option<&'r [u8]>) -> Option<Self>;
}

/// The text of a value of type `jsonb`.
#[derive(Clone, Copy)]
pub(super) struct JsonText<'r>(pub(super) &'r str);

impl<'r, T: Element<'r>> Array<'r, T> {
    /// Reads the head of the array in a column, by the column's number.
    pub(super) fn of(row: &'r PgRow, column: usize) -> Result<Self, Error> {
        Self::if_any(row, column)?.ok_or_else(malformed)
    }

    /// Does what [`of`](Self::of) does where the column may be null.
    fn if_any(row: &'r PgRow, column: usize) -> Result<Option<Self>, Error> {
        let value = row.try_get_raw(column)?;
        if value.is_null() {
            return Ok(None);
        }
        let bytes = match value.format() {
            PgValueFormat::Binary => value.as_bytes().map_err(Error::Decode)?,
            PgValueFormat::Text => return Err(malformed()),
        };
        Self::read(bytes).map(Some).ok_or_else(malformed)
    }

    /// The head: dimensions, whether there are nulls, the type of the elements; and of each dimension how many elements it has
    /// and the number of the first.
    fn read(mut unread: &'r [u8]) -> Option<Self> {
        let dimensions = i32::from_be_bytes(take(&mut unread)?);
        take::<4>(&mut unread)?;
        let oid = u32::from_be_bytes(take(&mut unread)?);
        let left = match dimensions {
            0 => 0,
            1 => {
                let left = i32::from_be_bytes(take(&mut unread)?);
                take::<4>(&mut unread)?;
                usize::try_from(left).ok()?
            }
            _ => return None,
        };
        (oid == T::OID).then_some(Self {
            unread,
            left,
            element: PhantomData,
        })
    }

    /// Returns how many elements are unread.
    pub(super) fn len(&self) -> usize {
        self.left
    }

    /// Reads the next element. Fails where there is none.
    #[inline]
    pub(super) fn next(&mut self) -> Result<T, Error> {
        self.read_next().ok_or_else(malformed)
    }

    #[inline]
    fn read_next(&mut self) -> Option<T> {
        self.left = self.left.checked_sub(1)?;
        // A negative length stands for null.
        let bytes = match usize::try_from(i32::from_be_bytes(take(&mut self.unread)?)) {
            Err(_) => None,
            Ok(length) => {
                let (bytes, unread) = self.unread.split_at_checked(length)?;
                self.unread = unread;
                Some(bytes)
            }
        };
        T::read(bytes)
    }
}

impl<'r, T: Element<'r> + Copy> Column<'r, T> {
    /// Reads the head of the array, if there is one. `same` stands for all elements where there is none.
    pub(super) fn of(row: &'r PgRow, column: usize, same: Option<T>) -> Result<Self, Error> {
        let array = Array::if_any(row, column)?.filter(|it| it.len() > 0);
        Ok(Self { array, same })
    }

    #[inline]
    pub(super) fn next(&mut self) -> Result<T, Error> {
        match &mut self.array {
            Some(array) => array.next(),
            None => self.same.ok_or_else(malformed),
        }
    }
}

impl<'r> Element<'r> for i16 {
    const OID: u32 = 21;

    fn read(bytes: Option<&'r [u8]>) -> Option<Self> {
        Some(Self::from_be_bytes(bytes?.try_into().ok()?))
    }
}

impl<'r> Element<'r> for i32 {
    const OID: u32 = 23;

    fn read(bytes: Option<&'r [u8]>) -> Option<Self> {
        Some(Self::from_be_bytes(bytes?.try_into().ok()?))
    }
}

impl<'r> Element<'r> for i64 {
    const OID: u32 = 20;

    fn read(bytes: Option<&'r [u8]>) -> Option<Self> {
        Some(Self::from_be_bytes(bytes?.try_into().ok()?))
    }
}

impl<'r> Element<'r> for &'r str {
    const OID: u32 = 25;

    fn read(bytes: Option<&'r [u8]>) -> Option<Self> {
        std::str::from_utf8(bytes?).ok()
    }
}

impl<'r> Element<'r> for DateTime<Utc> {
    const OID: u32 = 1184;

    fn read(bytes: Option<&'r [u8]>) -> Option<Self> {
        let micros = i64::read(bytes)?;
        Self::from_timestamp_micros(micros.checked_add(EPOCH)?)
    }
}

impl<'r> Element<'r> for JsonText<'r> {
    const OID: u32 = 3802;

    fn read(bytes: Option<&'r [u8]>) -> Option<Self> {
        // The version of the format stands before the text.
        let text = bytes?.strip_prefix(&[1])?;
        std::str::from_utf8(text).ok().map(Self)
    }
}

impl<'r, T: Element<'r>> Element<'r> for Option<T> {
    const OID: u32 = T::OID;

    fn read(bytes: Option<&'r [u8]>) -> Option<Self> {
        match bytes {
            None => Some(None),
            Some(bytes) => T::read(Some(bytes)).map(Some),
        }
    }
}

fn take<const N: usize>(unread: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, rest) = unread.split_first_chunk()?;
    *unread = rest;
    Some(*bytes)
}

fn malformed() -> Error {
    Error::Decode(
        "Postgres answered with an array of another type or length than it was asked for".into(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Postgres says of an array: its head, and each element behind its length.
    fn array_of(oid: u32, elements: &[Option<&[u8]>]) -> Vec<u8> {
        let length = i32::try_from(elements.len()).expect("few");
        let mut bytes = [1_i32.to_be_bytes(), 0_i32.to_be_bytes(), oid.to_be_bytes()].concat();
        bytes.extend([length.to_be_bytes(), 1_i32.to_be_bytes()].concat());
        for element in elements {
            let length = element.map_or(-1, |it| i32::try_from(it.len()).expect("short"));
            bytes.extend(length.to_be_bytes());
            bytes.extend(element.unwrap_or_default());
        }
        bytes
    }

    fn read<'r, T: Element<'r>>(bytes: &'r [u8]) -> Option<Vec<T>> {
        let mut array = Array::read(bytes)?;
        (0..array.len()).map(|_| array.read_next()).collect()
    }

    #[test]
    fn elements_are_read_in_their_order() {
        let (first, second) = (7_i64.to_be_bytes(), (-1_i64).to_be_bytes());
        let bytes = array_of(20, &[Some(&first), Some(&second)]);
        assert_eq!(read::<i64>(&bytes), Some(vec![7, -1]));
        let bytes = array_of(25, &[Some(b"send_email"), Some(b"")]);
        assert_eq!(read::<&str>(&bytes), Some(vec!["send_email", ""]));
    }

    #[test]
    fn null_is_read_only_where_it_may_be() {
        let bytes = array_of(23, &[None, Some(&3_i32.to_be_bytes())]);
        assert_eq!(read::<Option<i32>>(&bytes), Some(vec![None, Some(3)]));
        assert_eq!(read::<i32>(&bytes), None);
    }

    #[test]
    fn a_time_counts_from_the_epoch_of_postgres() {
        let bytes = array_of(1184, &[Some(&1_i64.to_be_bytes())]);
        let read = read::<DateTime<Utc>>(&bytes).expect("a time");
        assert_eq!(read[0].to_string(), "2000-01-01 00:00:00.000001 UTC");
    }

    #[test]
    fn a_time_that_never_comes_is_refused() {
        let bytes = array_of(1184, &[Some(&i64::MAX.to_be_bytes())]);
        assert!(read::<DateTime<Utc>>(&bytes).is_none());
    }

    #[test]
    fn what_is_cut_short_or_of_another_type_is_refused() {
        let whole = array_of(20, &[Some(&7_i64.to_be_bytes())]);
        for end in 0..whole.len() {
            assert!(read::<i64>(&whole[..end]).is_none(), "{end}");
        }
        assert!(read::<i32>(&whole).is_none());
        let short = array_of(20, &[Some(&7_i32.to_be_bytes())]);
        assert!(read::<i64>(&short).is_none());
        assert!(read::<JsonText<'_>>(&array_of(3802, &[Some(b"\x02{}")])).is_none());
    }

    #[test]
    fn an_empty_array_has_no_dimensions() {
        let empty = [
            0_i32.to_be_bytes(),
            0_i32.to_be_bytes(),
            20_u32.to_be_bytes(),
        ]
        .concat();
        let mut array = Array::<i64>::read(&empty).expect("an array");
        assert_eq!(array.len(), 0);
        assert!(array.next().is_err());
    }
}

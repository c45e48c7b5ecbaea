//! Reading records as Postgres sends them: how many fields, then each with its type, its length and its
//! bytes.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use sqlx::error::BoxDynError;

use crate::error::AttemptError;

/// From 1970, as seconds are counted elsewhere, to 2000, as Postgres does, in microseconds.
const EPOCH: i64 = 946_684_800_000_000;

/// Declares a struct that is read from a record, field by field in the order of the fields here. Those
/// before the semicolon are given.
macro_rules! record {
    (
        $(#[$meta:meta])*
        pub(crate) struct $name:ident {
            $(pub(crate) $given:ident: $given_type:ty,)*;
            $($(#[$field_meta:meta])* pub(crate) $field:ident: $type:ty,)+
        }
    ) => {
        $(#[$meta])*
        pub(crate) struct $name {
            $(pub(crate) $given: $given_type,)*
            $($(#[$field_meta])* pub(crate) $field: $type,)+
        }

        impl $name {
            fn read($($given: $given_type,)* record: &[u8]) -> Result<Self, sqlx::Error> {
                let mut fields = $crate::store::record::Fields::of(record);
                Ok(Self {
                    $($given,)*
                    $($field: fields.next(stringify!($field))?,)+
                })
            }
        }
    };
}

pub(crate) use record;

/// What is left of a record. A newer migration may have added fields at its end.
pub(crate) struct Fields<'r>(&'r [u8]);

impl<'r> Fields<'r> {
    pub(crate) fn of(record: &'r [u8]) -> Self {
        // Behind the number of fields.
        Self(record.get(4..).unwrap_or_default())
    }

    pub(crate) fn next<T: Field>(&mut self, name: &str) -> Result<T, sqlx::Error> {
        let value = self.bytes().and_then(T::read);
        value.map_err(|source| sqlx::Error::ColumnDecode {
            index: name.to_owned(),
            source,
        })
    }

    /// Returns the next field, unless it is null.
    fn bytes(&mut self) -> Result<Option<&'r [u8]>, BoxDynError> {
        let end = "the record ends before this field";
        let (_type_oid, rest) = self.0.split_first_chunk::<4>().ok_or(end)?;
        let (length, rest) = rest.split_first_chunk().ok_or(end)?;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            self.0 = rest;
            return Ok(None);
        };
        let (value, rest) = rest.split_at_checked(length).ok_or(end)?;
        self.0 = rest;
        Ok(Some(value))
    }
}

/// What a field is read as.
pub(crate) trait Field: Sized {
    fn read(value: Option<&[u8]>) -> Result<Self, BoxDynError>;
}

impl<T: Field> Field for Option<T> {
    fn read(value: Option<&[u8]>) -> Result<Self, BoxDynError> {
        value.map(|value| T::read(Some(value))).transpose()
    }
}

/// `bigint`
impl Field for i64 {
    fn read(value: Option<&[u8]>) -> Result<Self, BoxDynError> {
        Ok(Self::from_be_bytes(present(value)?.try_into()?))
    }
}

/// `integer`
impl Field for i32 {
    fn read(value: Option<&[u8]>) -> Result<Self, BoxDynError> {
        Ok(Self::from_be_bytes(present(value)?.try_into()?))
    }
}

/// `smallint`
impl Field for i16 {
    fn read(value: Option<&[u8]>) -> Result<Self, BoxDynError> {
        Ok(Self::from_be_bytes(present(value)?.try_into()?))
    }
}

/// `integer`, of which as much as there is room for
impl Field for u16 {
    fn read(value: Option<&[u8]>) -> Result<Self, BoxDynError> {
        Ok(Self::try_from(i32::read(value)?.max(0)).unwrap_or(Self::MAX))
    }
}

/// `timestamptz`
impl Field for DateTime<Utc> {
    fn read(value: Option<&[u8]>) -> Result<Self, BoxDynError> {
        let micros = i64::read(value)?.saturating_add(EPOCH);
        Ok(Self::from_timestamp_micros(micros).ok_or("a time that is out of range")?)
    }
}

/// `text`
impl Field for String {
    fn read(value: Option<&[u8]>) -> Result<Self, BoxDynError> {
        Ok(std::str::from_utf8(present(value)?)?.to_owned())
    }
}

/// `jsonb`
impl Field for Box<RawValue> {
    fn read(value: Option<&[u8]>) -> Result<Self, BoxDynError> {
        match present(value)? {
            [1, json @ ..] => Ok(serde_json::from_slice(json)?),
            _ => Err("an unknown version of `jsonb`".into()),
        }
    }
}

/// `jsonb`, whatever somebody has written into it: the batch that a claim has moved must be run
impl Field for Vec<AttemptError> {
    fn read(value: Option<&[u8]>) -> Result<Self, BoxDynError> {
        let errors = Option::<Box<RawValue>>::read(value)?;
        Ok(errors
            .and_then(|errors| serde_json::from_str(errors.get()).ok())
            .unwrap_or_default())
    }
}

fn present(value: Option<&[u8]>) -> Result<&[u8], BoxDynError> {
    value.ok_or_else(|| "it is null".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    record! {
        #[derive(Debug, PartialEq)]
        pub(crate) struct Row {
            pub(crate) given: bool,;
            pub(crate) number: i64,
            pub(crate) small: u16,
            pub(crate) absent: Option<i16>,
            pub(crate) at: DateTime<Utc>,
            pub(crate) text: String,
            pub(crate) errors: Vec<AttemptError>,
        }
    }

    fn record(fields: &[Option<&[u8]>]) -> Vec<u8> {
        let mut record = vec![0, 0, 0, 6];
        for field in fields {
            record.extend([0; 4]);
            let length = field.map_or(-1, |field| i32::try_from(field.len()).expect("short"));
            record.extend(length.to_be_bytes());
            record.extend(field.unwrap_or_default());
        }
        record
    }

    const FIELDS: [Option<&[u8]>; 6] = [
        Some(&[0, 0, 0, 0, 0, 0, 0, 7]),
        Some(&[0, 1, 0, 0]),
        None,
        Some(&[0; 8]),
        Some(b"text"),
        Some(b"\x01{\"not\": \"a list\"}"),
    ];

    #[test]
    fn fields_are_read_in_their_order() {
        let mut fields = FIELDS.to_vec();
        let expected = Row {
            given: true,
            number: 7,
            small: u16::MAX,
            absent: None,
            at: "2000-01-01T00:00:00Z".parse().expect("a time"),
            text: "text".to_owned(),
            errors: Vec::new(),
        };
        assert_eq!(Row::read(true, &record(&fields)).expect("read"), expected);
        // Of a newer migration.
        fields.push(Some(b"more"));
        assert_eq!(Row::read(true, &record(&fields)).expect("read"), expected);
    }

    #[test]
    fn a_field_that_is_not_as_declared_is_named() {
        let mut fields = FIELDS.to_vec();
        fields[4] = None;
        let error = Row::read(true, &record(&fields)).expect_err("null");
        assert!(error.to_string().contains("text"), "{error}");
        let error = Row::read(true, &record(&fields[..3])).expect_err("short");
        assert!(error.to_string().contains("at"), "{error}");
        assert!(Row::read(true, &[]).is_err());
    }
}

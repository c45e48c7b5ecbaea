//! Reading payloads of older versions.

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::error::DecodeError;
use crate::json;
use crate::task::payload::Payload;

/// Reads a payload of an older version, and brings it up to the newest.
pub type ReadOlder<P> = fn(&RawValue) -> Result<P, DecodeError>;

/// Requires the newest version, of a payload of which no other is read.
pub(crate) fn require_newest(version: Option<u16>, known: u16) -> Result<(), DecodeError> {
    match version {
        Some(version) if version > known => Err(DecodeError::too_new(version, known)),
        Some(version) if version < known => Err(DecodeError::too_old(version, known)),
        _ => Ok(()),
    }
}

/// Reads a payload, as what its row says it is.
///
/// `older` reads each version before the newest, the latest of them first. A row that says no version
/// comes from a bare insert: it is read as the newest that it fits. What fits none is
/// reported as the newest sees it, since that is what the insert has to be mended to.
pub(crate) fn decode<P: Payload + DeserializeOwned>(
    raw: &RawValue,
    version: Option<u16>,
    older: &[ReadOlder<P>],
) -> Result<P, DecodeError> {
    let Some(version) = version else {
        return json::decode(raw).or_else(|error| {
            let mut older = older.iter();
            older.find_map(|read| read(raw).ok()).ok_or(error)
        });
    };
    let newest = P::OPTIONS.version;
    let Some(behind) = newest.checked_sub(version) else {
        return Err(DecodeError::too_new(version, newest));
    };
    if behind == 0 {
        return json::decode(raw);
    }
    match older.get(usize::from(behind) - 1) {
        Some(read) => read(raw),
        None => Err(DecodeError::too_old(version, P::OPTIONS.oldest_version())),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::error::EncodeError;
    use crate::task::options::TaskOptions;

    #[derive(Deserialize)]
    struct First {
        usr: i64,
    }

    #[derive(Deserialize)]
    struct Second {
        usr_id: i64,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Third {
        usr_id: i64,
        locale: String,
    }

    impl Payload for Third {
        const TASK_TYPE: &'static str = "third";
        const OPTIONS: TaskOptions = TaskOptions::new().version(4).older_versions(2);

        fn encode(&self) -> Result<Box<RawValue>, EncodeError> {
            unreachable!("nothing is written here")
        }

        fn decode(raw: &RawValue, version: Option<u16>) -> Result<Self, DecodeError> {
            decode(raw, version, &[from_second, from_first])
        }
    }

    fn from_second(raw: &RawValue) -> Result<Third, DecodeError> {
        json::decode(raw).map(|Second { usr_id }| Third {
            usr_id,
            locale: "en".into(),
        })
    }

    fn from_first(raw: &RawValue) -> Result<Third, DecodeError> {
        json::decode(raw).map(|First { usr }| Third {
            usr_id: usr,
            locale: "la".into(),
        })
    }

    fn read(json: &str, version: Option<u16>) -> Result<Third, String> {
        let raw = RawValue::from_string(json.into()).expect("JSON");
        Third::decode(&raw, version).map_err(|error| error.to_string())
    }

    fn third(usr_id: i64, locale: &str) -> Third {
        Third {
            usr_id,
            locale: locale.into(),
        }
    }

    #[test]
    fn a_row_is_read_as_the_version_that_it_says() {
        let newest = r#"{"usr_id": 1, "locale": "de"}"#;
        assert_eq!(read(newest, Some(4)), Ok(third(1, "de")));
        // Not as the newest, which it would fit.
        assert_eq!(read(newest, Some(3)), Ok(third(1, "en")));
        assert_eq!(read(r#"{"usr": 2}"#, Some(2)), Ok(third(2, "la")));
    }

    #[test]
    fn a_row_that_does_not_fit_its_version_is_not_read_as_another() {
        assert_eq!(
            read(r#"{"usr": 2}"#, Some(4)),
            Err("payload does not decode at `.`".into())
        );
    }

    #[test]
    fn a_row_without_a_version_is_read_as_the_newest_that_it_fits() {
        assert_eq!(
            read(r#"{"usr_id": 1, "locale": "de"}"#, None),
            Ok(third(1, "de"))
        );
        assert_eq!(read(r#"{"usr_id": 1}"#, None), Ok(third(1, "en")));
        assert_eq!(read(r#"{"usr": 1}"#, None), Ok(third(1, "la")));
    }

    #[test]
    fn what_fits_no_version_is_reported_as_the_newest_sees_it() {
        assert_eq!(
            read(r#"{"usr_id": "x"}"#, None),
            Err("payload does not decode at `usr_id`".into())
        );
    }

    #[test]
    fn versions_that_are_not_known_are_refused() {
        let newest = r#"{"usr_id": 1, "locale": "de"}"#;
        assert_eq!(
            read(newest, Some(5)),
            Err("the payload has version 5; this program knows versions up to 4".into())
        );
        assert_eq!(
            read(newest, Some(1)),
            Err("the payload has version 1; this program reads versions from 2 on".into())
        );
    }
}

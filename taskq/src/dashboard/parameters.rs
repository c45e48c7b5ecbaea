//! What a query or a form says, bounded.

use chrono::{DateTime, Utc};

use super::failure::Failure;
use crate::operate::filter::Filter;
use crate::operate::moment::{MOMENTS, Moment};

/// The most parameters of a query.
const MOST: usize = 24;

/// The most parameters of a form, which may have one for each field of a payload.
const MOST_OF_FORM: usize = 300;

/// What a query or a form says.
#[derive(Debug, Clone, Default)]
pub(super) struct Parameters {
    pairs: Vec<(String, String)>,
}

impl Parameters {
    /// Reads the query `a=1&b=2`.
    pub(super) fn read(query: &[u8]) -> Result<Self, Failure> {
        Self::read_most(query, MOST)
    }

    /// Reads a form, which is written as a query is.
    pub(super) fn read_form(form: &[u8]) -> Result<Self, Failure> {
        Self::read_most(form, MOST_OF_FORM)
    }

    fn read_most(text: &[u8], most: usize) -> Result<Self, Failure> {
        let pairs = form_urlencoded::parse(text).into_owned();
        let pairs: Vec<(String, String)> = pairs.take(most + 1).collect();
        if pairs.len() > most {
            let problem = format!("it has more than {most} parameters");
            return Err(Failure::Senseless(problem));
        }
        if pairs.iter().any(|(_, value)| value.contains('\0')) {
            let problem = "Postgres has no text with a zero character".to_owned();
            return Err(Failure::Senseless(problem));
        }
        Ok(Self { pairs })
    }

    /// Returns a text as it was given, without spaces around it; `None` if it is empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let value = self.as_typed(name)?.trim();
        (!value.is_empty()).then_some(value)
    }

    /// Returns a text as it was typed, with spaces and if it is empty.
    pub(super) fn as_typed(&self, name: &str) -> Option<&str> {
        let mut pairs = self.pairs.iter();
        pairs
            .find(|(it, _)| it == name)
            .map(|(_, value)| value.as_str())
    }

    /// Returns a text that has to be there.
    pub(super) fn required(&self, name: &str) -> Result<&str, Failure> {
        let missing = || Failure::Senseless(format!("say what `{name}` is"));
        self.text(name).ok_or_else(missing)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.text(name).is_some()
    }

    /// Returns a number, if one is given.
    pub(super) fn number<N: std::str::FromStr>(&self, name: &str) -> Result<Option<N>, Failure> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let no_number =
            |_| Failure::Senseless(format!("`{name}` is no number that it can be: {text}"));
        text.parse().map(Some).map_err(no_number)
    }

    /// Returns the id that has to be there.
    pub(super) fn id(&self, name: &str) -> Result<i64, Failure> {
        let id: Option<i64> = self.number(name)?;
        id.ok_or_else(|| Failure::Senseless(format!("say what `{name}` is")))
    }

    pub(super) fn filter(&self, name: &str) -> Result<Filter, Failure> {
        let text = self.text(name).unwrap_or_default();
        text.parse()
            .map_err(|error: crate::operate::FilterError| Failure::Refused(error.to_string()))
    }

    /// Returns a moment: `30m` from now, or `2026-03-01T07:30Z`.
    pub(super) fn moment(
        &self,
        name: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, Failure> {
        let read = |text: &str| {
            let moment = Moment::read(text).and_then(|moment| moment.seen_from(now));
            moment.ok_or_else(|| Failure::Refused(format!("`{text}` is no time: {MOMENTS}")))
        };
        self.text(name).map(read).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_parameters_and_zeros_are_refused() {
        assert!(Parameters::read("a=1&".repeat(MOST).as_bytes()).is_ok());
        assert!(Parameters::read("a=1&".repeat(MOST + 1).as_bytes()).is_err());
        assert!(Parameters::read(b"a=x%00").is_err());
        let read = Parameters::read(b"a=%20&b=+x+&c=%ff").expect("few");
        assert_eq!(
            (read.text("a"), read.text("b"), read.text("d")),
            (None, Some("x"), None)
        );
    }
}

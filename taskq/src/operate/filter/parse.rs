//! Reading a filter.

use super::age::Age;
use super::error::FilterError;
use super::pattern::Pattern;
use super::term::{Term, is_sign};
use crate::task::registry::most_similar;

/// The longest filter, in bytes: what a URL carries.
const LONGEST: usize = 2_000;

/// The most values of a filter.
const MOST_VALUES: usize = 100;

/// How deep in the payload a field may be.
const DEEPEST: usize = 16;

pub(super) const STATES: [&str; 13] = [
    "waiting",
    "due",
    "scheduled",
    "running",
    "completed",
    "refused",
    "dead",
    "died",
    "discarded",
    "cancelled",
    "invalid",
    "quarantined",
    "expired",
];

const KEYS: [&str; 10] = [
    "state", "type", "queue", "payload", "error", "older", "newer", "cause", "id", "group",
];

const TERMS: &str = "the terms are state:, type:, queue:, payload.FIELD:, error:, older:, newer:, cause:, id: and group:";

/// Reads the terms of a filter.
pub(super) fn terms(text: &str) -> Result<Vec<Term>, FilterError> {
    let mut reader = Reader { text, at: 0 };
    if text.len() > LONGEST {
        let problem = format!(
            "it has {} bytes, and a filter at most {LONGEST}",
            text.len()
        );
        let start: String = text.chars().take(20).collect();
        return Err(FilterError {
            word: format!("{start}..."),
            position: 1,
            problem,
        });
    }
    let mut terms = Vec::new();
    let mut values = 0;
    loop {
        reader.skip(char::is_whitespace);
        let start = reader.at;
        if reader.rest().is_empty() {
            return Ok(terms);
        }
        let said = reader.term()?;
        values += said.values.len();
        if values > MOST_VALUES {
            let problem = format!("a filter has at most {MOST_VALUES} values");
            return Err(reader.error(start, problem));
        }
        let term = said
            .read()
            .map_err(|problem| reader.error(start, problem))?;
        if terms.iter().any(|other| is_same_term(other, &term)) {
            let problem =
                "it is there twice: write one with several values, as in state:waiting,running";
            return Err(reader.error(start, problem));
        }
        terms.push(term);
    }
}

fn is_same_term(one: &Term, other: &Term) -> bool {
    match (one, other) {
        (Term::Payload { path, .. }, Term::Payload { path: other, .. }) => path == other,
        (one, other) => std::mem::discriminant(one) == std::mem::discriminant(other),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

/// A term as it stands there.
struct SaidTerm {
    key: String,
    path: Vec<String>,
    values: Vec<String>,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn skip(&mut self, is_skipped: impl Fn(char) -> bool) -> String {
        let rest = self.rest();
        let end = rest.find(|c| !is_skipped(c)).unwrap_or(rest.len());
        let skipped = rest[..end].to_owned();
        self.at += end;
        skipped
    }

    fn take(&mut self, sign: char) -> bool {
        let is_there = self.rest().starts_with(sign);
        if is_there {
            self.at += sign.len_utf8();
        }
        is_there
    }

    /// Says what is wrong with the word that begins there. It ends where the next one would begin.
    fn error(&self, start: usize, problem: impl Into<String>) -> FilterError {
        let rest = &self.text[start..];
        let read = self.at.saturating_sub(start);
        let end = rest[read..].find(char::is_whitespace);
        let word = end.map_or(rest, |end| &rest[..read + end]);
        FilterError {
            word: word.to_owned(),
            position: self.text[..start].chars().count() + 1,
            problem: problem.into(),
        }
    }

    fn term(&mut self) -> Result<SaidTerm, FilterError> {
        let start = self.at;
        let key = self.skip(|c| !is_sign(c) && c != ':' && c != '.');
        let mut path = Vec::new();
        while self.take('.') {
            path.push(self.word(start, &['.', ':'])?);
        }
        if !self.take(':') {
            let problem = format!("say what it is of, as in error:timeout; {TERMS}");
            return Err(self.error(start, problem));
        }
        let mut values = vec![self.word(start, &[])?];
        while self.take(',') {
            values.push(self.word(start, &[])?);
        }
        if !self.rest().is_empty() && !self.rest().starts_with(char::is_whitespace) {
            let problem = "a quote stands around a whole value, as in error:\"timed out\"";
            return Err(self.error(start, problem));
        }
        Ok(SaidTerm { key, path, values })
    }

    /// Reads a word that stands in quotes, or ends before one of the signs.
    fn word(&mut self, start: usize, signs: &[char]) -> Result<String, FilterError> {
        if !self.take('"') {
            let word = self.skip(|c| !is_sign(c) && !signs.contains(&c));
            if word.is_empty() {
                let problem = "a value is missing: an empty one is written \"\"";
                return Err(self.error(start, problem));
            }
            return self.storable(start, word);
        }
        let mut word = String::new();
        loop {
            word += &self.skip(|c| c != '"' && c != '\\');
            if self.take('"') {
                return self.storable(start, word);
            }
            if !self.take('\\') {
                return Err(self.error(start, "its quote does not end"));
            }
            let escaped = ['"', '\\'].into_iter().find(|c| self.take(*c));
            word.push(escaped.unwrap_or('\\'));
        }
    }

    fn storable(&self, start: usize, word: String) -> Result<String, FilterError> {
        match word.contains('\0') {
            true => Err(self.error(start, "Postgres has no text with a zero character")),
            false => Ok(word),
        }
    }
}

impl SaidTerm {
    fn read(self) -> Result<Term, String> {
        let Self { key, path, values } = self;
        if key != "payload" && !path.is_empty() {
            return Err(format!("only payload has fields; {TERMS}"));
        }
        let allows_nothing = key == "payload";
        if !allows_nothing && values.iter().any(String::is_empty) {
            return Err("an empty value matches nothing".to_owned());
        }
        match key.as_str() {
            "state" => states(values),
            "type" => Ok(Term::Type(values.into_iter().map(Pattern).collect())),
            "queue" => Ok(Term::Queue(values.into_iter().map(Pattern).collect())),
            "payload" if path.is_empty() => {
                Err("say which field, as in payload.usr_id:42".to_owned())
            }
            "payload" if path.len() > DEEPEST => Err(format!("a field is at most {DEEPEST} deep")),
            "payload" => Ok(Term::Payload { path, values }),
            "error" => Ok(Term::Error(values)),
            "older" => age(&values).map(Term::Older),
            "newer" => age(&values).map(Term::Newer),
            "cause" => causes(values),
            "id" => ids(&values, "a task").map(Term::Id),
            "group" => ids(&values, "a group").map(Term::Group),
            _ => Err(unknown("term", &key, &KEYS, TERMS)),
        }
    }
}

fn states(values: Vec<String>) -> Result<Term, String> {
    match values
        .iter()
        .find(|value| !STATES.contains(&value.as_str()))
    {
        None => Ok(Term::State(values)),
        Some(wrong) => {
            let all = format!("the states are {}", STATES.join(", "));
            Err(unknown("state", wrong, &STATES, &all))
        }
    }
}

fn age(values: &[String]) -> Result<Age, String> {
    let [value] = values else {
        return Err("an age has one value".to_owned());
    };
    Age::read(value).ok_or_else(|| {
        format!("`{value}` is no age: write a number with s, m, h, d or w, as in 90s, 30m, 1h, 2d, 1w; at most 100 years")
    })
}

fn causes(values: Vec<String>) -> Result<Term, String> {
    let is_id =
        |value: &String| value.len() == 16 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
    match values.iter().find(|value| !is_id(value)) {
        None => Ok(Term::Cause(values)),
        Some(wrong) => Err(format!(
            "`{wrong}` is no cause: `causes` lists them, with ids of 16 digits from 0 to f"
        )),
    }
}

fn ids(values: &[String], of: &str) -> Result<Vec<i64>, String> {
    let read = |value: &String| {
        let id: Option<i64> = value.parse().ok();
        id.filter(|id| *id >= 0 && value.len() <= 18)
            .ok_or_else(|| format!("`{value}` is no id of {of}"))
    };
    values.iter().map(read).collect()
}

fn unknown(what: &str, name: &str, known: &[&'static str], all: &str) -> String {
    let similar = most_similar(name, known.iter().copied());
    let similar = similar.map_or_else(String::new, |similar| format!("did you mean `{similar}`? "));
    format!("there is no {what} `{name}`; {similar}{all}")
}

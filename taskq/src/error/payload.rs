//! What can be wrong with a payload.

use std::error::Error;
use std::fmt;

use super::secrets::{NOT_SAID, Secrets};
use super::{BoxError, error_text};

/// A value has no JSON from which it could be read again.
// In a box: it is returned, or not, for each field that is written.
pub struct EncodeError(Box<Unwritten>);

struct Unwritten {
    path: String,
    problem: BoxError,
}

impl EncodeError {
    /// Says that what stands at `path`, such as `user.email`, cannot be written; `.` is the whole.
    pub fn new(path: impl Into<String>, problem: impl Into<BoxError>) -> Self {
        Self(Box::new(Unwritten {
            path: path.into(),
            problem: problem.into(),
        }))
    }

    /// Says that what was written cannot be read.
    pub(crate) fn unreadable(error: DecodeError) -> Self {
        let path = error.path().to_owned();
        let cause = error.into_cause();
        Self::new(path, format!("could not be read again: {cause}"))
    }

    /// Says where that is of which serde said what is wrong.
    pub(crate) fn at(mut self, path: &str) -> Self {
        self.0.path = path.into();
        self
    }

    /// Says nothing of secret values.
    pub(crate) fn hide(self, secrets: &Secrets) -> Self {
        let Unwritten { path, problem } = *self.0;
        match secrets.at(&path) {
            Some(field) => Self::new(field, NOT_SAID),
            None => Self::new(path, secrets.hide(error_text(&*problem))),
        }
    }

    /// Returns where in the value the first mistake is, such as `user.email`; `.` is the whole.
    pub fn path(&self) -> &str {
        &self.0.path
    }
}

impl fmt::Debug for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncodeError")
            .field("path", &self.0.path)
            .field("problem", &self.0.problem)
            .finish()
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.0.path, self.0.problem)
    }
}

impl Error for EncodeError {}

/// Says of the whole value what serde finds wrong with it.
impl serde::ser::Error for EncodeError {
    fn custom<T: fmt::Display>(problem: T) -> Self {
        Self::new(".", problem.to_string())
    }
}

impl From<serde_json::Error> for EncodeError {
    fn from(error: serde_json::Error) -> Self {
        Self::new(".", error)
    }
}

/// A payload in a row does not fit its task type.
#[derive(Debug)]
pub struct DecodeError {
    reason: Reason,
}

#[derive(Debug)]
enum Reason {
    /// What stands at the path does not fit.
    Form { path: String, source: BoxError },
    /// It fits, and its values are refused.
    Values(InvalidPayload),
    /// It was written by a program that knows a newer version.
    TooNew { version: u16, known: u16 },
    /// It is of a version that is not read any more.
    TooOld { version: u16, oldest: u16 },
}

impl DecodeError {
    /// Says that what stands at `path`, such as `user.email`, does not fit; `.` is the whole.
    pub fn new(path: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self {
            reason: Reason::Form {
                path: path.into(),
                source: source.into(),
            },
        }
    }

    /// Says that the value to which its path leads is that of a field.
    pub(crate) fn inside(mut self, field: &str) -> Self {
        if let Reason::Form { path, .. } = &mut self.reason {
            *path = match path.as_str() {
                "." => field.into(),
                index if index.starts_with('[') => format!("{field}{index}"),
                inner => format!("{field}.{inner}"),
            };
        }
        self
    }

    pub(crate) fn invalid(invalid: InvalidPayload) -> Self {
        Self {
            reason: Reason::Values(invalid),
        }
    }

    pub(crate) fn too_new(version: u16, known: u16) -> Self {
        Self {
            reason: Reason::TooNew { version, known },
        }
    }

    pub(crate) fn too_old(version: u16, oldest: u16) -> Self {
        Self {
            reason: Reason::TooOld { version, oldest },
        }
    }

    /// Says nothing of secret values.
    pub(crate) fn hide(self, secrets: &Secrets) -> Self {
        match self.reason {
            Reason::Form { path, source } => match secrets.at(&path) {
                Some(field) => Self::new(field, NOT_SAID),
                None => Self::new(path, secrets.hide(error_text(&*source))),
            },
            Reason::Values(invalid) => Self::invalid(invalid.hide(secrets)),
            Reason::TooNew { .. } | Reason::TooOld { .. } => self,
        }
    }

    /// Returns what is wrong, without where.
    pub(crate) fn into_cause(self) -> BoxError {
        match self.reason {
            Reason::Form { source, .. } => source,
            _ => self.into(),
        }
    }

    /// Returns where in the payload the first mistake is, such as `user.email`; `.` is the whole.
    pub fn path(&self) -> &str {
        match &self.reason {
            Reason::Form { path, .. } => path,
            Reason::Values(invalid) => invalid.violations().next().map_or(".", |(path, _)| path),
            Reason::TooNew { .. } | Reason::TooOld { .. } => ".",
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Reason::Form { path, .. } => write!(f, "payload does not decode at `{path}`"),
            Reason::Values(_) => f.write_str("the payload has values that its task type refuses"),
            Reason::TooNew { version, known } => write!(
                f,
                "the payload has version {version}; this program knows versions up to {known}"
            ),
            Reason::TooOld { version, oldest } => write!(
                f,
                "the payload has version {version}; this program reads versions from {oldest} on"
            ),
        }
    }
}

/// Says of the whole value what serde finds wrong with it.
impl serde::de::Error for DecodeError {
    fn custom<T: fmt::Display>(problem: T) -> Self {
        Self::new(".", problem.to_string())
    }

    // The only mistake that serde finds by a field's name alone.
    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let problem = serde::de::value::Error::unknown_field(field, expected);
        Self::new(field, problem.to_string())
    }
}

impl Error for DecodeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.reason {
            Reason::Form { source, .. } => Some(&**source),
            Reason::Values(invalid) => Some(invalid),
            Reason::TooNew { .. } | Reason::TooOld { .. } => None,
        }
    }
}

/// Values in a payload that may not be enqueued or run, though its form is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidPayload {
    violations: Vec<(String, String)>,
}

impl InvalidPayload {
    /// Says what is wrong with the value at `path`, such as `user.email`.
    pub fn new(path: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            violations: vec![(path.into(), problem.into())],
        }
    }

    /// Adds what is wrong with another value.
    #[must_use]
    pub fn and(mut self, path: impl Into<String>, problem: impl Into<String>) -> Self {
        self.violations.push((path.into(), problem.into()));
        self
    }

    /// Says nothing of secret values.
    pub(crate) fn hide(self, secrets: &Secrets) -> Self {
        let violations = self.violations.into_iter();
        let hidden = violations.map(|(path, problem)| match secrets.at(&path) {
            Some(field) => (field.to_owned(), NOT_SAID.to_owned()),
            None => (path, secrets.hide(problem)),
        });
        Self {
            violations: hidden.collect(),
        }
    }

    /// Returns each path with what is wrong there; at least one.
    pub fn violations(&self) -> impl Iterator<Item = (&str, &str)> {
        self.violations
            .iter()
            .map(|(path, problem)| (path.as_str(), problem.as_str()))
    }
}

impl fmt::Display for InvalidPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (path, problem)) in self.violations().enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            write!(f, "{separator}`{path}`: {problem}")?;
        }
        Ok(())
    }
}

impl Error for InvalidPayload {}

#[cfg(feature = "garde")]
impl From<garde::Report> for InvalidPayload {
    fn from(report: garde::Report) -> Self {
        let violations = report.iter().map(|(path, error)| {
            let path = path.to_string();
            let path = if path.is_empty() { ".".into() } else { path };
            (path, error.to_string())
        });
        Self {
            violations: violations.collect(),
        }
    }
}

//! Why a request is not answered as it wished.

use axum::http::StatusCode;

use super::access::May;
use crate::error::{OperateError, WorkerError, error_text};
use crate::store::Refusal;

/// Why a request is not answered as it wished. Each is a page that says so.
#[derive(Debug)]
pub(super) enum Failure {
    /// The request makes no sense: no page of ours sends it.
    Senseless(String),
    /// Somebody asked for what cannot be.
    Refused(String),
    /// The visitor may not do that.
    Forbidden(May),
    /// A page of another site asked for it.
    Foreign(&'static str),
    /// There is no such thing.
    Missing(String),
    /// There is such a page, and it is not asked for so.
    Method,
    /// Too much is watched already.
    Full,
    /// Postgres could not be asked.
    Database(String),
}

impl Failure {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Senseless(_) => StatusCode::BAD_REQUEST,
            Self::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Forbidden(_) | Self::Foreign(_) => StatusCode::FORBIDDEN,
            Self::Missing(_) => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Full | Self::Database(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub(super) fn title(&self) -> &'static str {
        match self {
            Self::Senseless(_) => "That makes no sense",
            Self::Refused(_) => "That cannot be done",
            Self::Forbidden(_) => "You may not do that",
            Self::Foreign(_) => "That was not asked for here",
            Self::Missing(_) => "There is no such thing",
            Self::Method => "That makes no sense",
            Self::Full => "Too many pages are watched",
            Self::Database(_) => "Postgres does not answer",
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::Senseless(text)
            | Self::Refused(text)
            | Self::Missing(text)
            | Self::Database(text) => text.clone(),
            Self::Forbidden(may) => match may {
                May::Look => "you may not see this page".to_owned(),
                May::Act => "you may look, and not change anything".to_owned(),
                May::Bulk => "you may not change many tasks at once".to_owned(),
            },
            Self::Foreign(why) => (*why).to_owned(),
            Self::Method => "pages are read, and deeds are sent by their forms".to_owned(),
            Self::Full => "reload the page now and then".to_owned(),
        }
    }
}

impl From<OperateError> for Failure {
    fn from(error: OperateError) -> Self {
        let text = error_text(&error);
        match error {
            OperateError::Refused { .. } => Self::Refused(text),
            OperateError::Database(error) if Refusal::of(&error).is_some() => Self::Refused(text),
            _ => Self::Database(text),
        }
    }
}

impl From<WorkerError> for Failure {
    fn from(error: WorkerError) -> Self {
        Self::Refused(error_text(&error))
    }
}

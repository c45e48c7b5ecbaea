//! What the pages stand on, and what one request asks of it.
//!
//! Statements are made by [`Reader`], which changes nothing, and by an `Operator` that [`Asked::operator`] hands out. Both
//! ask first whether the visitor may: there is no other way to the tables.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Response, StatusCode};
use futures_util::future::BoxFuture;

use super::access::{Access, May, Visitor};
use super::failure::Failure;
use super::live::Live;
use super::parameters::Parameters;
use super::reader::Reader;
use crate::error::WorkerError;
use crate::operate::doctor::SharedLook;
use crate::operate::pause::Operator;
use crate::task::registration::Registration;
use crate::task::registry::Registry;
use crate::worker::linked_registrations;

/// Whose tables are shown, and with which handlers.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) operator: Operator,
    /// Those that this program has, if not all that are linked into it.
    pub(super) only: Option<Vec<Registration>>,
}

/// What all requests share.
#[derive(Debug)]
pub(super) struct Board {
    operator: Operator,
    pub(super) access: Access,
    pub(super) registry: Result<Registry, WorkerError>,
    pub(super) live: Arc<Live>,
    pub(super) live_page: FindPage,
    pub(super) shared_look: Arc<SharedLook>,
}

/// Finds a page of which viewers are told what changes.
pub(super) type FindPage = fn(&str) -> Option<(&'static str, Handler)>;

impl Board {
    pub(super) fn new(shown: Shown, access: Access, live_page: FindPage) -> Arc<Self> {
        Arc::new(Self {
            operator: shown.operator,
            access,
            registry: Registry::new(shown.only.unwrap_or_else(linked_registrations)),
            live: Arc::default(),
            shared_look: Arc::default(),
            live_page,
        })
    }
}

/// A page or a deed.
pub(super) type Handler = fn(Asked) -> BoxFuture<'static, Result<Answer, Failure>>;

/// What a request is answered with.
#[derive(Debug)]
pub(super) enum Answer {
    /// A page.
    Html(String),
    /// The page from which something was sent, with what was typed and why nothing was done.
    Again(StatusCode, String),
    /// Another page, by a relative link.
    See(String),
    /// Something that is no page.
    Raw(Response<Body>),
}

impl Answer {
    /// Says that nothing was done: the page has why, and what was typed.
    pub(super) fn again(self, status: StatusCode) -> Self {
        match self {
            Self::Html(html) => Self::Again(status, html),
            other => other,
        }
    }
}

/// In which colours somebody wants the pages, where they said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Theme {
    Light,
    Dark,
}

/// What one request asks, and who asks.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) board: Arc<Board>,
    pub(super) visitor: Visitor,
    /// What its query says, or its form.
    pub(super) said: Parameters,
    pub(super) theme: Option<Theme>,
    /// The name of the page, and its query.
    pub(super) page: &'static str,
    pub(super) query: String,
}

impl Asked {
    /// Returns who reads, if the visitor may look.
    pub(super) fn reader(&self) -> Result<Reader, Failure> {
        self.require(May::Look)?;
        let shared_look = self.board.shared_look.clone();
        Ok(Reader::of(self.board.operator.clone(), shared_look))
    }

    /// Returns who acts in the visitor's name, if they may do such a thing.
    pub(super) fn operator(&self, may: May) -> Result<Operator, Failure> {
        self.require(may.max(May::Act))?;
        let operator = self.board.operator.clone();
        Ok(match self.visitor.name() {
            Some(name) => operator.as_user(name),
            None => operator,
        })
    }

    pub(super) fn require(&self, may: May) -> Result<(), Failure> {
        match self.visitor.right() >= may {
            true => Ok(()),
            false => Err(Failure::Forbidden(may)),
        }
    }

    /// Returns the handlers that are linked into this program.
    pub(super) fn registry(&self) -> Result<&Registry, Failure> {
        let registry = self.board.registry.as_ref();
        registry.map_err(|error| Failure::Refused(crate::error::error_text(error)))
    }

    /// Returns the reason that a form gives.
    pub(super) fn reason(&self) -> Option<&str> {
        self.said.text("reason")
    }
}

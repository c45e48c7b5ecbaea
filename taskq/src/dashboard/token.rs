//! The token of a server that asks nobody for a password: whoever has its link is let in.
//!
//! That somebody comes from this machine says little: other users and a proxy do, and so does a page of another host, whose
//! name is made to lead here. So the link has a token, for which a browser gets a cookie.

use std::fmt;

use axum::http::HeaderValue;
use axum::http::header::COOKIE;
use axum::http::request::Parts;
use uuid::Uuid;

use super::request::{authorization, is_same};

/// A token, and the name of the cookie that has it.
#[derive(Clone)]
pub(super) struct Token {
    text: String,
    /// Browsers send the cookies of all ports of a host, so each server has a name of its own.
    cookie: String,
}

impl Token {
    pub(super) fn random() -> Self {
        let random = || Uuid::new_v4().simple();
        Self {
            text: format!("{}{}", random(), random()),
            cookie: format!("taskq-{}", random()),
        }
    }

    /// Returns what a link has after its path.
    pub(super) fn query(&self) -> String {
        format!("?token={}", self.text)
    }

    /// Tells whether a request has the token: in a cookie, or as scripts send it.
    pub(super) fn is_in(&self, request: &Parts) -> bool {
        let cookies = request.headers.get_all(COOKIE).iter();
        let cookies = cookies.filter_map(|header| header.to_str().ok());
        let mut cookies = cookies.flat_map(|header| header.split(';'));
        let cookie = cookies.find_map(|cookie| match cookie.trim().split_once('=') {
            Some((name, value)) if name == self.cookie => Some(value),
            _ => None,
        });
        let given = cookie.or_else(|| authorization(request, "bearer"));
        given.is_some_and(|given| self.is(given))
    }

    /// Returns the cookie for a request that has the token in its address.
    pub(super) fn exchanged(&self, request: &Parts) -> Option<HeaderValue> {
        let mut query = form_urlencoded::parse(request.uri.query()?.as_bytes());
        let (_, given) = query.find(|(name, _)| name == "token")?;
        if !self.is(&given) {
            return None;
        }
        let Self { text, cookie } = self;
        let cookie = format!("{cookie}={text}; Path=/; HttpOnly; SameSite=Strict");
        HeaderValue::from_str(&cookie).ok()
    }

    fn is(&self, given: &str) -> bool {
        is_same(given.as_bytes(), self.text.as_bytes())
    }
}

/// Without the token.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

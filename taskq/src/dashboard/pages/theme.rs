//! Light or dark, where somebody wants another than their system has.

use axum::body::Body;
use axum::http::header::{LOCATION, SET_COOKIE};
use axum::http::{HeaderValue, Response, StatusCode};

use super::act::back;
use crate::dashboard::board::{Answer, Asked};
use crate::dashboard::failure::Failure;

/// Remembers the colours in a cookie of this browser, below the prefix.
pub(in crate::dashboard) async fn choose(asked: Asked) -> Result<Answer, Failure> {
    let cookie = match asked.said.text("to") {
        Some("light") => "taskq-theme=light; SameSite=Lax; HttpOnly; Max-Age=31536000",
        Some("dark") => "taskq-theme=dark; SameSite=Lax; HttpOnly; Max-Age=31536000",
        _ => "taskq-theme=; SameSite=Lax; HttpOnly; Max-Age=0",
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    headers.insert(SET_COOKIE, HeaderValue::from_static(cookie));
    if let Ok(link) = HeaderValue::from_str(&back(&asked, "overview")) {
        headers.insert(LOCATION, link);
    }
    Ok(Answer::Raw(response))
}

//! The stream of what changes on a page.

use std::sync::Arc;

use axum::http::HeaderValue;
use axum::response::IntoResponse;
use axum::response::sse::{KeepAlive, Sse};
use futures_util::FutureExt;

use crate::dashboard::access::May;
use crate::dashboard::board::{Answer, Asked};
use crate::dashboard::failure::Failure;
use crate::dashboard::live::Render;
use crate::dashboard::parameters::Parameters;

/// Sends what stands in `main` of a page, whenever it has changed.
pub(in crate::dashboard) async fn stream(asked: Asked) -> Result<Answer, Failure> {
    asked.require(May::Look)?;
    let (page, handler) = (asked.board.live_page)(asked.said.required("page")?)
        .ok_or_else(|| Failure::Missing("nothing changes on such a page".to_owned()))?;
    let query = asked.query.split('&').filter(|it| !it.starts_with("page="));
    let query = query.collect::<Vec<_>>().join("&");
    // Who may do the same sees the same.
    let key = format!("{:?} {page}?{query}", asked.visitor.right());
    let live = asked.board.live.clone();
    let visitor = asked.visitor.name().unwrap_or_default().to_owned();
    let watched = Asked {
        said: Parameters::read(query.as_bytes())?,
        page,
        query,
        ..asked
    };
    let render: Render = Arc::new(move || {
        let page = handler(watched.clone());
        async move {
            match page.await {
                Ok(Answer::Html(html)) => main_of(&html),
                _ => None,
            }
        }
        .boxed()
    });
    let viewer = live.watch(&visitor, &key, render).ok_or(Failure::Full)?;
    let stream = Sse::new(viewer.events()).keep_alive(KeepAlive::default());
    let mut response = stream.into_response();
    let headers = response.headers_mut();
    headers.insert("cache-control", HeaderValue::from_static("no-store"));
    // Proxies that collect answers would keep the events.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(Answer::Raw(response))
}

/// Returns what stands in `main`. What users have written has no such tags: it is escaped.
fn main_of(html: &str) -> Option<String> {
    let start = html.find("<main")?;
    let end = html.rfind("</main>")?;
    let (_, inside) = html.get(start..end)?.split_once('>')?;
    Some(inside.to_owned())
}

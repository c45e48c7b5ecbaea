//! What can be asked: one table of pages and deeds, and how a request finds its own.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{OriginalUri, Request};
use axum::http::header::{CONTENT_TYPE, COOKIE, LOCATION, REFRESH, SET_COOKIE, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use axum::middleware::map_response;
use axum::routing::{MethodFilter, get, on};
use tokio::time::timeout;

use super::access::{Challenge, May, Visitor};
use super::assets;
use super::board::{Answer, Asked, Board, Handler, Theme};
use super::csrf;
use super::failure::Failure;
use super::frame::{FailurePage, Frame, page};
use super::guard::guarded;
use super::pages::{
    act, audit, bulk, causes, enqueue, events, limits, overview, queues, task, tasks, theme,
    workers,
};
#[cfg(feature = "cron")]
use super::pages::{schedule, schedules};
use super::parameters::Parameters;

/// The longest query, in bytes.
const LONGEST_QUERY: usize = 8_000;

/// The largest form, in bytes: a payload of the largest size, in which each third character is encoded.
const LARGEST_FORM: usize = 8 << 20;

/// How long it may take to come.
const LONGEST_FORM: Duration = Duration::from_secs(60);

/// A page or a deed of the dashboard.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Route {
    /// `GET` for a page, `POST` for what changes something.
    pub method: &'static str,
    /// Its path, in front of which stands the prefix.
    pub path: &'static str,
    /// What a visitor must be allowed to do.
    pub may: May,
    handler: Handler,
    is_live: bool,
}

macro_rules! page {
    ($path:literal $handler:path) => {
        Route {
            method: "GET",
            path: $path,
            may: May::Look,
            handler: |asked| Box::pin($handler(asked)),
            is_live: false,
        }
    };
}

macro_rules! live_page {
    ($path:literal $handler:path) => {
        Route {
            is_live: true,
            ..page!($path $handler)
        }
    };
}

macro_rules! deed {
    ($path:literal $may:ident $handler:path) => {
        Route {
            method: "POST",
            may: May::$may,
            ..page!($path $handler)
        }
    };
}

/// All pages and deeds of the dashboard, and what each demands. The assets and the redirection to the overview demand that
/// a visitor may look.
pub const ROUTES: &[Route] = &[
    live_page!("overview" overview::show),
    live_page!("tasks" tasks::show),
    live_page!("task" task::show),
    live_page!("causes" causes::show),
    live_page!("queues" queues::show),
    page!("limits" limits::show),
    #[cfg(feature = "cron")]
    live_page!("schedules" schedules::show),
    #[cfg(feature = "cron")]
    page!("schedule" schedule::show),
    live_page!("workers" workers::show),
    live_page!("bulks" bulk::list),
    live_page!("bulk" bulk::show),
    page!("enqueue" enqueue::show),
    page!("audit" audit::show),
    page!("events" events::stream),
    page!("theme" theme::choose),
    deed!("retry" Act act::retry),
    deed!("retry-one" Act act::retry_one),
    deed!("cancel" Act act::cancel),
    deed!("discard" Act act::discard),
    deed!("edit" Act enqueue::edit),
    deed!("enqueue" Act enqueue::enqueue),
    deed!("pause" Act act::pause),
    deed!("resume" Act act::resume),
    deed!("skip-dead" Act act::skip_dead),
    deed!("take-back" Act act::take_back),
    deed!("end-session" Act act::end_session),
    deed!("acknowledge" Act overview::acknowledge),
    deed!("unacknowledge" Act overview::unacknowledge),
    deed!("limit" Act limits::limit),
    deed!("reset-limits" Act limits::reset),
    deed!("weight" Act limits::weight),
    #[cfg(feature = "cron")]
    deed!("upsert-schedule" Act schedule::upsert),
    #[cfg(feature = "cron")]
    deed!("run-schedule" Act schedules::run),
    #[cfg(feature = "cron")]
    deed!("remove-schedule" Act schedules::remove),
    deed!("stop-worker" Act workers::stop),
    deed!("forget-worker" Act workers::forget),
    deed!("freeze" Bulk bulk::freeze),
    deed!("run-bulk" Bulk bulk::run),
    deed!("stop-bulk" Bulk bulk::stop),
    deed!("drop-bulk" Bulk bulk::forget),
];

/// Returns a page of which viewers are told what changes.
pub(super) fn live_page(path: &str) -> Option<(&'static str, Handler)> {
    let route = ROUTES.iter().find(|it| it.is_live && it.path == path)?;
    Some((route.path, route.handler))
}

/// Makes the router.
pub(super) fn router(board: &Arc<Board>) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        let filter = match route.method {
            "POST" => MethodFilter::POST,
            _ => MethodFilter::GET,
        };
        let board = board.clone();
        let path = format!("/{}", route.path);
        let answer = move |request: Request| answer(board.clone(), route, request);
        router = router.route(&path, on(filter, answer));
    }
    for asset in assets::ALL {
        let board = board.clone();
        let file = move |request: Request| async move {
            match board.access.admit(&request.into_parts().0) {
                Ok(_) => asset.response(),
                Err(challenge) => challenged(challenge),
            }
        };
        router = router.route(&format!("/{}", asset.name()), get(file));
    }
    let (rooted, lost, misused) = (board.clone(), board.clone(), board.clone());
    router
        .route(
            "/",
            get(async move |request: Request| to_overview(&rooted, request)),
        )
        .fallback(async move |request: Request| {
            let missing = Failure::Missing("there is no such page".to_owned());
            nowhere(&lost, request, &missing)
        })
        .method_not_allowed_fallback(async move |request: Request| {
            nowhere(&misused, request, &Failure::Method)
        })
        .layer(map_response(guarded))
}

/// Leads from the prefix itself to the overview, by a relative link, whatever stands in front of the prefix.
fn to_overview(board: &Board, request: Request) -> Response<Body> {
    let (parts, _) = request.into_parts();
    if let Some(cookie) = board.access.cookie(&parts) {
        return begun(cookie);
    }
    if let Err(challenge) = board.access.admit(&parts) {
        return challenged(challenge);
    }
    let original = parts.extensions.get::<OriginalUri>();
    let path = original.map_or(&parts.uri, |OriginalUri(uri)| uri).path();
    // Without a slash at its end the browser looks beside the last part of the path.
    let folder = match path.rsplit('/').next() {
        Some("") | None => String::new(),
        // A colon in it makes no scheme.
        Some(last) => format!("./{last}/"),
    };
    see(&format!("{folder}overview"))
}

/// Takes the token out of the address. A redirection would not do: where a page of another site has the link, the browser
/// sends a strict cookie only once a page of ours leads on.
fn begun(cookie: HeaderValue) -> Response<Body> {
    let icon = assets::ICON.name();
    let html = format!(
        r#"<!doctype html><html lang="en"><title>taskq</title><link rel="icon" href="{icon}"><a href="overview">Overview</a>"#
    );
    let mut response = html_response(StatusCode::OK, html);
    let headers = response.headers_mut();
    headers.insert(SET_COOKIE, cookie);
    headers.insert(REFRESH, HeaderValue::from_static("0; url=overview"));
    response
}

/// Says why there is no answer, to whoever is let in.
fn nowhere(board: &Arc<Board>, request: Request, failure: &Failure) -> Response<Body> {
    let (parts, _) = request.into_parts();
    match board.access.admit(&parts) {
        Ok(visitor) => failed(&asked(board, visitor, &parts, ""), failure),
        Err(challenge) => challenged(challenge),
    }
}

async fn answer(board: Arc<Board>, route: &'static Route, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let visitor = match board.access.admit(&parts) {
        Ok(visitor) => visitor,
        Err(challenge) => return challenged(challenge),
    };
    let mut asked = asked(&board, visitor, &parts, route.path);
    let answer = match read(&mut asked, route, &parts, body).await {
        Ok(()) => (route.handler)(asked.clone()).await,
        Err(failure) => Err(failure),
    };
    if route.method == "POST" {
        asked.board.shared_look.record_change();
    }
    match answer {
        Ok(Answer::Html(html)) => html_response(StatusCode::OK, html),
        Ok(Answer::Again(status, html)) => html_response(status, html),
        Ok(Answer::See(link)) => see(&link),
        Ok(Answer::Raw(response)) => response,
        Err(failure) => failed(&asked, &failure),
    }
}

fn asked(board: &Arc<Board>, visitor: Visitor, parts: &Parts, page: &'static str) -> Asked {
    Asked {
        board: board.clone(),
        visitor,
        said: Parameters::default(),
        theme: theme_of(&parts.headers),
        page,
        query: String::new(),
    }
}

/// Reads what the request says, once it is sure that the visitor may ask that.
async fn read(asked: &mut Asked, route: &Route, parts: &Parts, body: Body) -> Result<(), Failure> {
    asked.require(route.may)?;
    let query = parts.uri.query().unwrap_or_default();
    if query.len() > LONGEST_QUERY {
        let message = format!("the address is longer than {LONGEST_QUERY} bytes");
        return Err(Failure::Senseless(message));
    }
    if parts.method != Method::POST {
        asked.said = Parameters::read(query.as_bytes())?;
        // What has just been done is not a part of the page's address.
        let kept = query
            .split('&')
            .filter(|it| !it.is_empty() && !it.starts_with("did=") && !it.starts_with("did-to="));
        asked.query = kept.collect::<Vec<_>>().join("&");
        return Ok(());
    }
    if let Some(why) = csrf::refusal(parts) {
        return Err(Failure::Foreign(why));
    }
    let content_type = parts
        .headers
        .get(CONTENT_TYPE)
        .and_then(|it| it.to_str().ok());
    if !content_type.is_some_and(|it| it.starts_with("application/x-www-form-urlencoded")) {
        return Err(Failure::Senseless("what is sent is no form".to_owned()));
    }
    let form = timeout(LONGEST_FORM, to_bytes(body, LARGEST_FORM)).await;
    let form = form.map_err(|_| Failure::Senseless("the form does not come".to_owned()))?;
    let form =
        form.map_err(|error| Failure::Senseless(format!("the form cannot be read: {error}")))?;
    asked.said = Parameters::read_form(&form)?;
    Ok(())
}

fn theme_of(headers: &HeaderMap) -> Option<Theme> {
    let cookies = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|it| it.to_str().ok());
    let mut cookies = cookies.flat_map(|it| it.split(';')).map(str::trim);
    cookies.find_map(|cookie| match cookie {
        "taskq-theme=light" => Some(Theme::Light),
        "taskq-theme=dark" => Some(Theme::Dark),
        _ => None,
    })
}

fn failed(asked: &Asked, failure: &Failure) -> Response<Body> {
    let template = FailurePage {
        frame: Frame::new(asked, failure.title(), None),
        title: failure.title(),
        text: failure.text(),
    };
    match page(&template) {
        Ok(Answer::Html(html)) => html_response(failure.status(), html),
        _ => html_response(failure.status(), String::new()),
    }
}

fn challenged(challenge: Challenge) -> Response<Body> {
    let (status, header, text) = match challenge {
        Challenge::Basic => (
            StatusCode::UNAUTHORIZED,
            Some(r#"Basic realm="taskq", charset="UTF-8""#),
            "say who you are",
        ),
        Challenge::Bearer => (StatusCode::UNAUTHORIZED, Some("Bearer"), "say who you are"),
        Challenge::Link => (
            StatusCode::FORBIDDEN,
            None,
            "open the link that the server gave when it was started: it has a token, and each start another",
        ),
        Challenge::OtherHost => (
            StatusCode::FORBIDDEN,
            None,
            "the request names another host than this machine: ask for localhost, or start the server with a password",
        ),
        Challenge::Nothing => (StatusCode::FORBIDDEN, None, "you are not let in"),
    };
    let text = format!("{text}\n");
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    if let Some(header) = header {
        let value = HeaderValue::from_static(header);
        response.headers_mut().insert(WWW_AUTHENTICATE, value);
    }
    response
}

fn html_response(status: StatusCode, html: String) -> Response<Body> {
    let mut response = Response::new(Body::from(html));
    *response.status_mut() = status;
    let value = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, value);
    response
}

fn see(link: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    // Links are percent-encoded, so it is ASCII; if it were not, the browser would stay where it is.
    if let Ok(value) = HeaderValue::from_str(link) {
        response.headers_mut().insert(LOCATION, value);
    }
    response
}

//! The web server: slim and stupid, each endpoint a wrapper around one SQL statement.
//!
//! It runs no handler and waits for no mail. Once the statement of a signup has committed, the
//! user may go on with their day.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use serde::Deserialize;
use serde_json::Value;
use sqlx::PgPool;
use taskq::handler::StopNow;
use tokio::net::TcpListener;

/// How long requests under way may take once the server is asked to stop.
const LAST_REQUESTS: Duration = Duration::from_secs(10);

/// bcrypt reads so many bytes of a password and ignores the rest.
const BCRYPT_MAX_BYTES: usize = 72;

/// Takes the address that `ADDR` names.
pub(crate) async fn listen() -> anyhow::Result<TcpListener> {
    let address = std::env::var("ADDR").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    TcpListener::bind(&address)
        .await
        .with_context(|| format!("cannot listen on {address}; ADDR names another address"))
}

/// Serves until the process is asked to stop, and lets requests under way end.
pub(crate) async fn serve(listener: TcpListener, pool: &PgPool) -> anyhow::Result<()> {
    announce(listener.local_addr()?);
    let server = axum::serve(listener, router(pool.clone())).with_graceful_shutdown(async {
        taskq::shutdown_signal().await;
    });
    tokio::select! {
        served = server => served?,
        () = out_of_patience() => tracing::warn!("the last requests were cut off"),
    }
    Ok(())
}

fn announce(address: SocketAddr) {
    println!("listening on http://{address}");
    println!("  curl -i http://{address}/signup -d email=ada@example.com -d password=analytical");
    println!("  curl http://{address}/mails");
}

async fn out_of_patience() {
    let next_signal = taskq::shutdown_signal().await;
    tokio::select! {
        () = next_signal.stop_now() => {}
        () = tokio::time::sleep(LAST_REQUESTS) => {}
    }
}

fn router(pool: PgPool) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/page.css", get(style))
        .route("/page.js", get(script))
        .route("/page.json", get(page_data))
        .route("/signup", post(sign_up))
        .route("/mails", get(mails))
        .layer(DefaultBodyLimit::max(16 * 1024))
        .with_state(pool)
}

async fn sign_up(
    State(pool): State<PgPool>,
    Signup { email, password }: Signup,
) -> Result<impl IntoResponse, Refusal> {
    let usr_id: Option<i64> = sqlx::query_scalar(include_str!("signup.sql"))
        .bind(email)
        .bind(password)
        .fetch_optional(&pool)
        .await?;
    let usr_id = usr_id.ok_or(Refusal::Taken)?;
    // As in the article, the cookie names the user and proves nothing: a real site signs it.
    let cookie = format!("usr_id={usr_id}; Path=/; HttpOnly; SameSite=Lax");
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, cookie)]))
}

async fn page_data(State(pool): State<PgPool>) -> Result<impl IntoResponse, Refusal> {
    let data: Value = sqlx::query_scalar(include_str!("page.sql"))
        .fetch_one(&pool)
        .await?;
    Ok(([(CACHE_CONTROL, "no-store")], Json(data)))
}

async fn mails(State(pool): State<PgPool>) -> Result<Json<Value>, Refusal> {
    let mails = sqlx::query_scalar(
        "select coalesce(jsonb_agg(to_jsonb(mail) order by mail_id), '[]') from mail",
    )
    .fetch_one(&pool)
    .await?;
    Ok(Json(mails))
}

async fn page() -> impl IntoResponse {
    let policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                  img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
    let page = Html(include_str!("page.html"));
    ([(CONTENT_SECURITY_POLICY, policy)], page)
}

async fn style() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/css")], include_str!("page.css"))
}

async fn script() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/javascript")], include_str!("page.js"))
}

/// What a visitor filled in. Whoever has one has a valid one; it has no `Debug`, so that nobody
/// logs a password by mistake.
#[derive(Deserialize)]
struct Signup {
    email: String,
    password: String,
}

impl<S: Send + Sync> FromRequest<S> for Signup {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let read = match is_json(request.headers()) {
            true => Json::from_request(request, state)
                .await
                .ok()
                .map(|Json(signup)| signup),
            false => Form::from_request(request, state)
                .await
                .ok()
                .map(|Form(signup)| signup),
        };
        let signup: Self = read.ok_or(Refusal::Invalid(
            "send the fields `email` and `password`, as a form or as JSON",
        ))?;
        signup.checked()
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|content_type| content_type.to_str().ok())
        .is_some_and(|content_type| content_type.starts_with("application/json"))
}

impl Signup {
    fn checked(self) -> Result<Self, Refusal> {
        let email = self.email.trim().to_lowercase();
        let problem = if email.is_empty() {
            Some("the email is missing")
        } else if email.parse::<lettre::Address>().is_err() || !email.is_ascii() {
            Some("that is not an email address; one looks like name@example.com")
        } else if self.password.chars().count() < 8 {
            Some("the password needs at least 8 characters")
        } else if self.password.len() > BCRYPT_MAX_BYTES {
            Some("the password is too long; 72 bytes are the most")
        } else if self.password.contains('\0') {
            Some("the password has a character that no keyboard makes")
        } else {
            None
        };
        match problem {
            Some(problem) => Err(Refusal::Invalid(problem)),
            None => Ok(Self { email, ..self }),
        }
    }
}

/// Why a request was refused, in words for whoever sent it.
enum Refusal {
    Invalid(&'static str),
    Taken,
    /// Ours to mend. The cause is logged, and stays here.
    Broken(sqlx::Error),
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        Self::Broken(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Invalid(reason) => (StatusCode::UNPROCESSABLE_ENTITY, reason).into_response(),
            Self::Taken => (StatusCode::CONFLICT, "that email is taken").into_response(),
            Self::Broken(error) => {
                tracing::error!(%error, "a request failed");
                let apology = "something broke on our side; please try again";
                (StatusCode::INTERNAL_SERVER_ERROR, apology).into_response()
            }
        }
    }
}

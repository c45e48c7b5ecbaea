//! The dashboard, as a browser speaks to it.

mod access;
mod acts;
mod afterwards;
mod alone;
mod attacks;
mod bulk;
mod forms;
mod linked;
mod live;
mod mount;
mod pages;
mod schedules;
mod secrets;

use axum::Router;
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use sqlx::PgPool;
use taskq::dashboard::{self, Access, May};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A dashboard that is served at a port of this machine.
struct Site {
    url: String,
    client: Client,
    serving: JoinHandle<()>,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Three people, each of whom may do more.
fn three() -> Access {
    Access::basic("looker", "look")
        .only(May::Look)
        .or(Access::basic("actor", "act").only(May::Act))
        .or(Access::basic("ada", "all"))
}

/// Serves the pages to these three.
async fn site(pool: &PgPool) -> Site {
    let pages = dashboard::router(taskq::operate(pool));
    let pages = pages.only::<(acts::Welcome,)>().access(three());
    Site::of(
        Router::new().nest_service("/admin/tasks", pages),
        "/admin/tasks",
    )
    .await
}

/// Asks for pages, and returns what they show.
pub(crate) async fn shown(pages: dashboard::Mount, names: &[String]) -> Vec<String> {
    let router = Router::new().nest_service("/tasks", pages.access(three()));
    let site = Site::of(router, "/tasks").await;
    let mut shown = Vec::new();
    for name in names {
        shown.push(site.page(name).await);
    }
    shown
}

impl Site {
    async fn of(router: Router, prefix: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let serving = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("served");
        });
        let client = Client::builder().redirect(Policy::none()).build();
        Self {
            url: format!("http://{address}{prefix}"),
            client: client.expect("a client"),
            serving,
        }
    }

    fn get(&self, page: &str) -> RequestBuilder {
        let request = self.client.get(format!("{}/{page}", self.url));
        request.basic_auth("ada", Some("all"))
    }

    /// Returns a page that is there.
    async fn page(&self, page: &str) -> String {
        let response = self.get(page).send().await.expect("an answer");
        let status = response.status();
        let text = response.text().await.expect("text");
        assert_eq!(status, StatusCode::OK, "{page}: {text}");
        text
    }

    /// Sends a form as a page of ours does.
    fn form(&self, action: &str, fields: &[(&str, &str)]) -> RequestBuilder {
        let request = self.client.post(format!("{}/{action}", self.url));
        let request = request.basic_auth("ada", Some("all"));
        request.header("sec-fetch-site", "same-origin").form(fields)
    }

    /// Sends a form, and returns where it leads.
    async fn send(&self, action: &str, fields: &[(&str, &str)]) -> String {
        let response = self.form(action, fields).send().await.expect("an answer");
        let status = response.status();
        let location = header(&response, "location");
        let text = response.text().await.expect("text");
        assert_eq!(status, StatusCode::SEE_OTHER, "{action} {fields:?}: {text}");
        location
    }

    /// Sends a form, and returns the status and the page that says why nothing was done.
    async fn refused(&self, action: &str, fields: &[(&str, &str)]) -> (StatusCode, String) {
        let response = self.form(action, fields).send().await.expect("an answer");
        let status = response.status();
        (status, response.text().await.expect("text"))
    }
}

fn header(response: &Response, name: &str) -> String {
    let value = response.headers().get(name);
    let value = value.map(|value| value.to_str().expect("text").to_owned());
    value.unwrap_or_default()
}

/// Inserts a row, and returns its id.
async fn enqueue(pool: &PgPool, task_type: &str, payload: &str) -> i64 {
    sqlx::query_scalar(
        "insert into taskq.task (task_type, payload) values ($1, $2::text::jsonb) returning task_id",
    )
    .bind(task_type)
    .bind(payload)
    .fetch_one(pool)
    .await
    .expect("enqueued")
}

/// Has a waiting task die of an error, as a worker would.
async fn kill(pool: &PgPool, task_id: i64, error: &str) {
    sqlx::query(
        "with gone as (delete from taskq.task where task_id = $1 returning *)
         insert into taskq.dead (task_id, task_type, queue, priority, payload, created_at, state, attempts, crashes, errors)
         select task_id, task_type, queue, priority, payload, created_at, 'discarded', 1, 0,
                jsonb_build_array(jsonb_build_object('attempt', 1, 'at', now(), 'error', $2::text))
         from gone",
    )
    .bind(task_id)
    .bind(error)
    .execute(pool)
    .await
    .expect("dead");
}

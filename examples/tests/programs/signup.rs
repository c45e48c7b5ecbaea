//! The signup program: signups, refusals, mails, and several processes together.

use std::collections::HashSet;

use reqwest::header::SET_COOKIE;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use sqlx::PgPool;
use taskq::testing::Database;

use crate::program::{Program, wait_for};

/// A web server, and what a visitor does with it.
struct Site {
    program: Program,
    url: String,
    client: Client,
}

impl Site {
    async fn start(arguments: &[&str], database: &Database) -> Self {
        let mut program = Program::start("signup", arguments, &database.url());
        let line = program.line_with("listening on").await;
        let url = line.trim_start_matches("listening on ").to_owned();
        Self {
            program,
            url,
            // A proxy of this machine's does not know the way.
            client: Client::builder().no_proxy().build().unwrap(),
        }
    }

    async fn sign_up(&self, email: &str, password: &str) -> Response {
        let form = [("email", email), ("password", password)];
        let request = self.client.post(format!("{}/signup", self.url)).form(&form);
        request.send().await.unwrap()
    }

    async fn get(&self, path: &str) -> Response {
        self.client
            .get(format!("{}{path}", self.url))
            .send()
            .await
            .unwrap()
    }

    async fn mails(&self) -> Vec<Value> {
        self.get("/mails").await.json().await.unwrap()
    }

    async fn mails_once_there_are(&self, number: usize) -> Vec<Value> {
        wait_for("the mails", async || {
            let mails = self.mails().await;
            (mails.len() >= number).then_some(mails)
        })
        .await
    }
}

async fn no_task_is_left(pool: &PgPool) {
    wait_for("the end of all tasks", async || {
        let tasks: i64 = count(pool, "select count(*) from taskq.tasks").await;
        (tasks == 0).then_some(())
    })
    .await;
}

async fn count(pool: &PgPool, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(pool).await.unwrap()
}

#[tokio::test]
async fn a_signup_answers_at_once_and_the_welcome_mail_follows() {
    let database = Database::fresh().await.unwrap();
    let site = Site::start(&[], &database).await;

    let response = site.sign_up("Ada@Example.com", "analytical").await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    let cookie = response.headers()[SET_COOKIE].to_str().unwrap();
    assert_eq!(cookie, "usr_id=1; Path=/; HttpOnly; SameSite=Lax");

    let mails = site.mails_once_there_are(1).await;
    assert_eq!(mails[0]["recipient"], "ada@example.com");
    assert_eq!(mails[0]["message_id"], "<task-1@signup.example>");
    assert_eq!(mails[0]["subject"], "Welcome!");

    no_task_is_left(&database.pool_of(2)).await;
    let welcomed =
        "select count(*) from usr where email = 'ada@example.com' and welcomed_at is not null";
    assert_eq!(count(&database.pool_of(2), welcomed).await, 1);
    assert_eq!(site.mails().await.len(), 1);
    assert!(site.program.interrupt().await.success());
}

#[tokio::test]
async fn a_password_is_kept_as_a_hash_and_neither_shown_nor_logged() {
    let database = Database::fresh().await.unwrap();
    let site = Site::start(&[], &database).await;
    site.sign_up("ada@example.com", "analytical engine").await;
    site.mails_once_there_are(1).await;

    let hashed = "select count(*) from usr where password = crypt('analytical engine', password)";
    assert_eq!(count(&database.pool_of(2), hashed).await, 1);
    let shown = site.get("/page.json").await.text().await.unwrap();
    assert!(shown.contains("ada@example.com"));
    assert!(!shown.contains("password") && !shown.contains("analytical engine"));
    assert!(!site.program.written().contains("analytical engine"));
}

#[tokio::test]
async fn a_signup_may_be_json() {
    let database = Database::fresh().await.unwrap();
    let site = Site::start(&["web"], &database).await;
    let body = json!({ "email": "ada@example.com", "password": "analytical" });
    let request = site.client.post(format!("{}/signup", site.url)).json(&body);
    assert_eq!(
        request.send().await.unwrap().status(),
        StatusCode::NO_CONTENT
    );
}

#[tokio::test]
async fn bad_input_is_refused_with_a_reason_in_plain_words() {
    let database = Database::fresh().await.unwrap();
    let site = Site::start(&["web"], &database).await;
    let refusals = [
        ("", "analytical", "the email is missing"),
        ("ada", "analytical", "that is not an email address"),
        (
            "ada@exa mple.com",
            "analytical",
            "that is not an email address",
        ),
        ("ada@example.com", "short", "at least 8 characters"),
        ("ada@example.com", &"long".repeat(20), "too long"),
        ("ada@example.com", "analytical\0", "no keyboard makes"),
    ];
    for (email, password, reason) in refusals {
        let response = site.sign_up(email, password).await;
        assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
        let text = response.text().await.unwrap();
        assert!(text.contains(reason), "{text}");
    }
    for body in ["", "email=ada@example.com", "{"] {
        let request = site.client.post(format!("{}/signup", site.url)).body(body);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
        assert!(
            response
                .text()
                .await
                .unwrap()
                .contains("as a form or as JSON")
        );
    }
    assert_eq!(
        count(&database.pool_of(2), "select count(*) from usr").await,
        0
    );
    assert_eq!(
        count(&database.pool_of(2), "select count(*) from taskq.tasks").await,
        0
    );
}

#[tokio::test]
async fn a_taken_email_is_refused_and_enqueues_no_second_task() {
    let database = Database::fresh().await.unwrap();
    let site = Site::start(&["web"], &database).await;
    site.sign_up("ada@example.com", "analytical").await;
    let response = site.sign_up("ADA@example.com", "somebody else").await;
    assert_eq!(response.status(), StatusCode::CONFLICT);
    assert_eq!(response.text().await.unwrap(), "that email is taken");
    assert_eq!(
        count(&database.pool_of(2), "select count(*) from taskq.tasks").await,
        1
    );
}

#[tokio::test]
async fn an_error_of_the_database_is_not_shown_to_the_visitor() {
    let database = Database::fresh().await.unwrap();
    let site = Site::start(&["web"], &database).await;
    sqlx::query("alter table usr rename to usr_elsewhere")
        .execute(&database.pool_of(2))
        .await
        .unwrap();
    let response = site.sign_up("ada@example.com", "analytical").await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(
        response.text().await.unwrap(),
        "something broke on our side; please try again"
    );
}

#[tokio::test]
async fn a_web_server_and_two_workers_send_each_user_one_mail() {
    const USERS: usize = 200;
    let database = Database::fresh().await.unwrap();
    // All at once: who comes first makes the tables.
    let workers = [(); 2].map(|()| Program::start("signup", &["worker"], &database.url()));
    let site = Site::start(&["web"], &database).await;

    for number in 0..USERS {
        let response = site
            .sign_up(&format!("user{number}@example.com"), "password")
            .await;
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
    }
    no_task_is_left(&database.pool_of(2)).await;

    let mails = site.mails().await;
    let distinct = |field| {
        mails
            .iter()
            .map(|mail| &mail[field])
            .collect::<HashSet<_>>()
            .len()
    };
    assert_eq!(mails.len(), USERS);
    assert_eq!(distinct("message_id"), USERS);
    assert_eq!(distinct("recipient"), USERS);
    let unwelcomed = "select count(*) from usr where welcomed_at is null";
    assert_eq!(count(&database.pool_of(2), unwelcomed).await, 0);
    for worker in workers {
        assert!(worker.interrupt().await.success());
    }
    assert!(site.program.interrupt().await.success());
}

#[tokio::test]
async fn a_worker_finds_the_mail_sink_of_a_web_server_that_was_restarted() {
    let database = Database::fresh().await.unwrap();
    let worker = Program::start("signup", &["worker"], &database.url());
    let first = Site::start(&["web"], &database).await;
    first.sign_up("ada@example.com", "analytical").await;
    first.mails_once_there_are(1).await;
    assert!(first.program.interrupt().await.success());

    let second = Site::start(&["web"], &database).await;
    second.sign_up("grace@example.com", "compilers!").await;
    let mails = second.mails_once_there_are(2).await;
    assert_eq!(mails[1]["recipient"], "grace@example.com");
    assert!(worker.interrupt().await.success());
}

#[tokio::test]
async fn a_second_web_server_that_ends_does_not_take_the_mail_sink_away() {
    let database = Database::fresh().await.unwrap();
    let first = Site::start(&[], &database).await;
    let sink = async || -> String {
        let query = sqlx::query_scalar("select url from mail_sink");
        query.fetch_one(&database.pool_of(1)).await.unwrap()
    };
    let sink_of_the_first = sink().await;
    let second = Site::start(&["web"], &database).await;
    assert!(second.program.interrupt().await.success());
    wait_for("the first sink", async || {
        (sink().await == sink_of_the_first).then_some(())
    })
    .await;

    first.sign_up("ada@example.com", "analytical").await;
    first.mails_once_there_are(1).await;
}

#[tokio::test]
async fn the_page_and_what_it_needs_are_served() {
    let database = Database::fresh().await.unwrap();
    let site = Site::start(&["web"], &database).await;
    for (path, content_type) in [
        ("/", "text/html"),
        ("/page.css", "text/css"),
        ("/page.js", "text/javascript"),
        ("/page.json", "application/json"),
    ] {
        let response = site.get(path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let found = response.headers()["content-type"].to_str().unwrap();
        assert!(found.starts_with(content_type), "{path} is {found}");
    }
}

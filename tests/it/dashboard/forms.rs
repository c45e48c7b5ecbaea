//! Payloads in forms: a field for each property, and nothing that is typed is lost.

use axum::Router;
use reqwest::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::{PgPool, query_scalar};
use taskq::dashboard;

use super::{Site, enqueue, kill, site, three};
use crate::support::{database, execute};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Paper {
    Plain,
    Lined,
}

#[taskq::task(queue = "mail")]
async fn letter(
    usr_id: i64,
    subject: String,
    paper: Option<Paper>,
    #[serde(default)] copies: Vec<String>,
    #[secret] pin: String,
) {
    let _ = (usr_id, subject, paper, copies, pin);
}

async fn letters(pool: &PgPool) -> Site {
    let pages = dashboard::router(taskq::operate(pool));
    let pages = pages.only::<(Letter,)>().access(three());
    Site::of(Router::new().nest_service("/tasks", pages), "/tasks").await
}

/// Returns the tag that begins so.
fn tag<'a>(page: &'a str, begin: &str) -> &'a str {
    let (_, rest) = page.split_once(begin).expect(begin);
    rest.split('>').next().unwrap_or_default()
}

async fn payload(pool: &PgPool) -> String {
    query_scalar("select payload::text from taskq.task")
        .fetch_one(pool)
        .await
        .expect("one task")
}

#[tokio::test]
async fn a_declared_type_has_a_field_for_each_property() {
    let (_database, pool) = database().await;
    let site = letters(&pool).await;
    let page = site.page("enqueue?type=letter").await;
    for field in ["usr_id", "subject", "paper", "copies", "pin"] {
        assert!(
            page.contains(&format!("name=\"field.{field}\"")),
            "{field}: {page}"
        );
    }
    assert!(tag(&page, "name=\"field.pin\"").contains("type=\"password\""));
    assert!(tag(&page, "name=\"field.usr_id\"").contains("inputmode=\"decimal\""));
    assert!(
        page.contains(">plain</option>") && page.contains(">lined</option>"),
        "{page}"
    );
    assert!(!page.contains("id=\"payload\""), "{page}");
    let raw = site.page("enqueue?type=letter&raw=1").await;
    assert!(
        raw.contains("id=\"payload\"") && !raw.contains("name=\"field."),
        "{raw}"
    );
    assert!(page.contains("Write it as JSON") && raw.contains("Fill in its fields"));
    let unknown = site.page("enqueue?type=other").await;
    assert!(unknown.contains("id=\"payload\""), "{unknown}");

    let fields = [
        ("type", "letter"),
        ("fields", "1"),
        ("field.usr_id", "9007199254740993"),
        ("field.subject", " To \"Ada\" & <others> "),
        ("field.paper", "\"lined\""),
        ("field.copies", "[\"bob\"]"),
        ("field.pin", "1234"),
    ];
    site.send("enqueue", &fields).await;
    assert_eq!(
        payload(&pool).await,
        r#"{"pin": "1234", "paper": "lined", "copies": ["bob"], "usr_id": 9007199254740993, "subject": " To \"Ada\" & <others> "}"#
    );
}

#[tokio::test]
async fn what_is_wrong_stands_at_its_field_and_nothing_typed_is_lost() {
    let (_database, pool) = database().await;
    let site = letters(&pool).await;
    let fields = [
        ("type", "letter"),
        ("fields", "1"),
        ("field.usr_id", "seven"),
        ("field.subject", "To <Ada>"),
        ("field.paper", "\"lined\""),
        ("field.copies", "[1"),
        ("queue", "slow"),
        ("priority", "7"),
        ("at", "2h"),
        ("reason", "by hand"),
    ];
    let (status, page) = site.refused("enqueue", &fields).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        page.contains("<strong>`seven` is no number</strong>"),
        "{page}"
    );
    assert!(page.contains("<strong>it is no JSON: "), "{page}");
    for typed in [
        "value=\"seven\"",
        "value=\"To &#60;Ada&#62;\"",
        "selected>lined</option>",
        ">[1</textarea>",
        "value=\"slow\"",
        "value=\"7\"",
        "value=\"2h\"",
        "value=\"by hand\"",
    ] {
        assert!(page.contains(typed), "{typed}: {page}");
    }
    // What only the handler's type knows.
    let fields = [
        ("type", "letter"),
        ("fields", "1"),
        ("field.usr_id", "1"),
        ("field.copies", "[7]"),
    ];
    let (_, page) = site.refused("enqueue", &fields).await;
    let problem = page
        .split("name=\"field.copies\"")
        .nth(1)
        .expect("the field");
    let problem = problem.split("</div>").next().unwrap_or_default();
    assert!(
        problem.contains("<strong>invalid type: integer `7`, expected a string"),
        "{problem}"
    );
    assert!(page.contains("the payload does not fit `letter`"), "{page}");

    // As JSON, too; and what is beside the payload may be wrong.
    let fields = [
        ("type", "letter"),
        ("payload", "{\"usr_id\": 1,"),
        ("at", "soon"),
    ];
    let (status, page) = site.refused("enqueue", &fields).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.contains("{&#34;usr_id&#34;: 1,</textarea>"), "{page}");
    assert!(page.contains("value=\"soon\""), "{page}");
    let fields = [("type", "letter"), ("priority", "high"), ("unchecked", "1")];
    let (status, page) = site.refused("enqueue", &fields).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(
        page.contains("value=\"high\"") && page.contains(" checked>"),
        "{page}"
    );
}

#[tokio::test]
async fn a_dead_task_is_edited_in_fields_and_a_secret_stays_where_it_is() {
    let (_database, pool) = database().await;
    let site = letters(&pool).await;
    let was = r#"{"usr_id": 9007199254740993, "subject": "a", "paper": null, "copies": [], "pin": "canary"}"#;
    let task_id = enqueue(&pool, "letter", was).await;
    kill(&pool, task_id, "no paper").await;
    execute(
        &pool,
        "insert into taskq.secret_field values ('letter', 'pin')",
    )
    .await;
    let page = site.page(&format!("task?id={task_id}")).await;
    assert!(
        tag(&page, "name=\"field.usr_id\"").contains("value=\"9007199254740993\""),
        "{page}"
    );
    assert!(
        tag(&page, "name=\"field.pin\"").contains("value=\"***\""),
        "{page}"
    );
    let raw = site.page(&format!("task?id={task_id}&raw=1")).await;
    assert!(
        raw.contains("id=\"payload\"") && raw.contains("<details class=\"edit\" open>"),
        "{raw}"
    );
    let id = task_id.to_string();
    let mut fields = vec![
        ("id", &*id),
        ("fields", "1"),
        ("field.usr_id", "9007199254740993"),
        ("field.subject", "b"),
        ("field.paper", "\"torn\""),
        ("field.copies", "[]"),
        ("field.pin", "***"),
        ("reason", "as she asked"),
    ];
    let (status, page) = site.refused("edit", &fields).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        page.contains("none of its values") && page.contains("value=\"as she asked\""),
        "{page}"
    );
    assert!(
        page.contains("value=\"b\"") && !page.contains("canary"),
        "{page}"
    );
    fields[4] = ("field.paper", "\"plain\"");
    site.send("edit", &fields).await;
    assert_eq!(
        payload(&pool).await,
        r#"{"pin": "canary", "paper": "plain", "copies": [], "usr_id": 9007199254740993, "subject": "b"}"#
    );
}

#[tokio::test]
async fn a_payload_that_has_no_place_in_the_fields_is_edited_as_json() {
    let (_database, pool) = database().await;
    let site = letters(&pool).await;
    let task_id = enqueue(&pool, "letter", r#"{"usr_id": 1, "unknown": 2}"#).await;
    kill(&pool, task_id, "no").await;
    let page = site.page(&format!("task?id={task_id}")).await;
    assert!(
        page.contains("id=\"payload\"") && !page.contains("name=\"field."),
        "{page}"
    );
}

#[tokio::test]
async fn a_task_s_page_says_why_it_does_not_run() {
    let (_database, pool) = database().await;
    let site = site(&pool).await;
    let task_id = enqueue(&pool, "welcome", "{}").await;
    execute(
        &pool,
        "select taskq.pause_queue('default', 'SMTP is <down>', by => 'ada')",
    )
    .await;
    let page = site.page(&format!("task?id={task_id}")).await;
    assert!(
        page.contains("queue default has been paused for 0 s by ada (SMTP is &#60;down&#62;)"),
        "{page}"
    );
    assert!(
        page.contains("its queue default, and no worker is alive"),
        "{page}"
    );
    assert!(
        page.contains("once the reason is gone. <a href=\"queues\">Pauses</a>"),
        "{page}"
    );
    execute(&pool, "select taskq.cancel(task_id) from taskq.task").await;
    let page = site.page(&format!("task?id={task_id}")).await;
    assert!(
        !page.contains("class=\"troubles\""),
        "its state says it: {page}"
    );
}

#[tokio::test]
async fn the_workers_page_shows_what_is_stuck_what_nobody_runs_and_who_is_stopping() {
    let (_database, pool) = database().await;
    let site = site(&pool).await;
    enqueue(&pool, "welcome", "{}").await;
    execute(
        &pool,
        "insert into taskq.worker (worker_id, host, process_id, queues, task_types, slots, expires_at, stop_asked_at)
         values ('00000000-0000-0000-0000-000000000001', 'here', 7, '{default}', '{welcome}', 2, now() + interval '1 hour',
                 now() - interval '3 minutes');
         select from taskq.claim_limited('00000000-0000-0000-0000-000000000001', 300, 'default', array['welcome'], 'welcome',
             0::smallint, 0, 0::smallint, 9, 9, null, '{null}', '{0}', array[9], false, false);
         update taskq.lease set claimed_at = now() - interval '2 hours';
         insert into taskq.minute values (date_trunc('minute', now()), 'default', 'welcome', 20, 0, 0, '{20}', '{0,20}')",
    )
    .await;
    enqueue(&pool, "unknown", "{}").await;
    let page = site.page("workers").await;
    assert!(page.contains("stopping since "), "{page}");
    assert!(
        page.contains("1 of 2 slots in 1 lease, the oldest claimed "),
        "{page}"
    );
    assert!(page.contains("of type welcome has run for 2 h"), "{page}");
    assert!(
        page.contains("What no living worker runs") && page.contains(">unknown</a>"),
        "{page}"
    );
    assert!(
        !page.contains("Ask it to stop"),
        "it is asked already: {page}"
    );
}

//! What the pages do with payloads that have secret fields.

use axum::Router;
use sqlx::{PgPool, query_scalar};
use taskq::dashboard;

use super::{Site, enqueue, kill, three};
use crate::support::{database, execute};

#[taskq::task]
pub(super) async fn unlock(door: i64, #[secret] pin: i64) -> Result<(), String> {
    Err(format!("door {door} stays shut for {pin}"))
}

async fn site(pool: &PgPool) -> Site {
    let pages = dashboard::router(taskq::operate(pool)).only::<(Unlock,)>();
    Site::of(
        Router::new().nest_service("/tasks", pages.access(three())),
        "/tasks",
    )
    .await
}

async fn stored(pool: &PgPool, task_id: i64) -> String {
    query_scalar("select payload::text from taskq.tasks where task_id = $1")
        .bind(task_id)
        .fetch_one(pool)
        .await
        .expect("it is there")
}

const PIN: &str = "7315552";

/// A task that died with a secret, and with a number that no program counts with.
async fn dead(pool: &PgPool) -> (i64, String) {
    let payload =
        format!(r#"{{"pin": {PIN}, "door": 1, "big": 123456789012345678901234567890.10}}"#);
    let task_id = enqueue(pool, "unlock", &payload).await;
    kill(pool, task_id, "no").await;
    (task_id, stored(pool, task_id).await)
}

#[tokio::test]
async fn no_page_shows_a_secret_and_what_is_shown_is_what_is_stored() {
    let (_database, pool) = database().await;
    let site = site(&pool).await;
    let (task_id, _) = dead(&pool).await;
    // First only this program knows of it, and then the tables do.
    for declare in [
        "",
        "insert into taskq.secret_field values ('unlock', 'pin')",
    ] {
        execute(&pool, declare).await;
        for page in [
            "overview",
            "tasks",
            "causes",
            &format!("task?id={task_id}"),
            &format!("task?id={task_id}&all=1"),
        ] {
            let text = site.page(page).await;
            assert!(!text.contains(PIN), "{page}: {text}");
        }
        let text = site.page(&format!("task?id={task_id}")).await;
        assert!(text.contains("123456789012345678901234567890.10"), "{text}");
    }
}

#[tokio::test]
async fn an_edit_by_the_form_keeps_the_secret_and_every_digit() {
    let (_database, pool) = database().await;
    let site = site(&pool).await;
    let (task_id, before) = dead(&pool).await;
    let id = task_id.to_string();
    let shown = r#"{"pin": "***", "door": 1, "big": 123456789012345678901234567890.10}"#;
    let form = [("id", &*id), ("payload", shown)];
    // The mask would be stored.
    let (_, text) = site.refused("edit", &form).await;
    assert!(text.contains("have not heard yet"), "{text}");
    assert_eq!(stored(&pool, task_id).await, before);
    execute(
        &pool,
        "insert into taskq.secret_field values ('unlock', 'pin')",
    )
    .await;
    site.send("edit", &form).await;
    assert_eq!(stored(&pool, task_id).await, before);
}

//! What the buttons do.

use reqwest::StatusCode;
use sqlx::{PgPool, query, query_scalar};

use super::{enqueue, kill, site};
use crate::support::{database, task};

#[taskq::task]
pub(super) async fn welcome(usr_id: i64) -> Result<(), String> {
    Err(format!("no usr {usr_id}"))
}

async fn state(pool: &PgPool, task_id: i64) -> Option<String> {
    Some(task(pool, task_id).await?.state)
}

#[tokio::test]
async fn one_task_is_retried_put_off_cancelled_and_deleted() {
    let (_database, pool) = database().await;
    let task_id = enqueue(&pool, "mail", "{}").await;
    kill(&pool, task_id, "no").await;
    let site = site(&pool).await;
    let id = task_id.to_string();
    let back = format!("task?id={id}");
    let link = site
        .send(
            "retry",
            &[
                ("id", &id),
                ("at", "2h"),
                ("back", &back),
                ("reason", "again"),
            ],
        )
        .await;
    assert_eq!(link, format!("task?id={id}&did=retry"));
    let row = task(&pool, task_id).await.expect("it waits");
    let due = row.due_in.expect("a time");
    assert!(
        row.state == "waiting" && (7_100.0..7_201.0).contains(&due),
        "{row:?}"
    );
    let page = site.page(&link).await;
    assert!(
        page.contains("The task waits to run.") && page.contains("retry by ada"),
        "{page}"
    );
    site.send("retry", &[("id", &id)]).await;
    assert!(
        task(&pool, task_id)
            .await
            .expect("it waits")
            .due_in
            .expect("a time")
            < 1.0
    );
    site.send("cancel", &[("id", &id)]).await;
    assert_eq!(state(&pool, task_id).await.as_deref(), Some("cancelled"));
    site.send("discard", &[("id", &id)]).await;
    assert_eq!(state(&pool, task_id).await, None);
    let (status, text) = site.refused("retry", &[("id", &id)]).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{text}");
    let (status, text) = site.refused("retry", &[("id", &id), ("at", "soon")]).await;
    assert!(
        status == StatusCode::UNPROCESSABLE_ENTITY && text.contains("is no time"),
        "{text}"
    );
}

#[tokio::test]
async fn a_form_leads_back_to_pages_of_ours_alone() {
    let (_database, pool) = database().await;
    let site = site(&pool).await;
    for back in [
        "//evil.example",
        "https://evil.example/",
        "/etc",
        "javascript:alert(1)",
        "..",
        "a b",
        "x/../../y",
        "\n//x",
    ] {
        let fields = [("scope", "queue"), ("name", "mail"), ("back", back)];
        assert_eq!(
            site.send("pause", &fields).await,
            "queues?did=pause",
            "{back}"
        );
    }
}

#[tokio::test]
async fn a_payload_is_checked_before_a_task_runs_with_it() {
    let (_database, pool) = database().await;
    let task_id = enqueue(&pool, "welcome", r#"{"usr_id": "x"}"#).await;
    kill(&pool, task_id, "no").await;
    let site = site(&pool).await;
    let id = task_id.to_string();
    for (payload, says) in [
        (r#"{"usr_id": "y"}"#, "does not fit"),
        ("{", "is no JSON"),
        ("", "does not fit"),
    ] {
        let (status, text) = site
            .refused("edit", &[("id", &id), ("payload", payload)])
            .await;
        assert!(
            status == StatusCode::UNPROCESSABLE_ENTITY && text.contains(says),
            "{payload}: {text}"
        );
    }
    assert_eq!(state(&pool, task_id).await.as_deref(), Some("discarded"));
    let payload = r#"{"usr_id": 9007199254740993}"#;
    site.send("edit", &[("id", &id), ("payload", payload)])
        .await;
    let stored: String = query_scalar("select payload::text from taskq.task where task_id = $1")
        .bind(task_id)
        .fetch_one(&pool)
        .await
        .expect("it waits");
    assert_eq!(stored, payload);
}

#[tokio::test]
async fn a_task_is_enqueued_by_its_name_with_what_its_type_declares() {
    let (_database, pool) = database().await;
    let site = site(&pool).await;
    let form = site.page("enqueue?type=welcome").await;
    assert!(
        form.contains("usr_id") && form.contains("Schema of the payload"),
        "{form}"
    );
    let fields = [
        ("type", "welcome"),
        ("payload", r#"{"usr_id": 7}"#),
        ("at", "30m"),
        ("reason", "by hand"),
    ];
    let link = site.send("enqueue", &fields).await;
    assert!(
        link.starts_with("task?id=") && link.ends_with("did=enqueue"),
        "{link}"
    );
    let page = site.page(&link).await;
    assert!(
        page.contains("The task is enqueued.") && page.contains("by hand"),
        "{page}"
    );
    let (status, text) = site
        .refused("enqueue", &[("type", "welcom"), ("payload", "{}")])
        .await;
    assert!(
        status == StatusCode::UNPROCESSABLE_ENTITY && text.contains("did you mean `welcome`?"),
        "{text}"
    );
    site.send(
        "enqueue",
        &[
            ("type", "elsewhere"),
            ("payload", "{}"),
            ("unchecked", "1"),
            ("queue", "mail"),
        ],
    )
    .await;
    let queue: String = query_scalar("select queue from taskq.task where task_type = 'elsewhere'")
        .fetch_one(&pool)
        .await
        .expect("it waits");
    assert_eq!(queue, "mail");
}

#[tokio::test]
async fn pauses_and_limits_are_said_and_taken_back() {
    let (_database, pool) = database().await;
    let site = site(&pool).await;
    let name = "a/b?c#d %";
    site.send(
        "pause",
        &[
            ("scope", "task_type"),
            ("name", name),
            ("until", "2h"),
            ("reason", "a reason"),
        ],
    )
    .await;
    let page = site.page("queues").await;
    assert!(
        page.contains("a reason") && page.contains("not declared here"),
        "{page}"
    );
    assert_eq!(
        site.send("resume", &[("scope", "task_type"), ("name", name)])
            .await,
        "queues?did=resume"
    );
    assert_eq!(
        site.send("resume", &[("scope", "task_type"), ("name", name)])
            .await,
        "queues?did=awake"
    );
    site.send(
        "limit",
        &[
            ("scope", "queue"),
            ("name", name),
            ("rate", "100"),
            ("per", "1m"),
            ("reason", "slow"),
        ],
    )
    .await;
    let page = site.page("limits").await;
    assert!(
        page.contains("100 in 60s") && page.contains("slow"),
        "{page}"
    );
    let (status, text) = site
        .refused("limit", &[("scope", "queue"), ("name", name)])
        .await;
    assert!(
        status == StatusCode::UNPROCESSABLE_ENTITY && text.contains("say how many"),
        "{text}"
    );
    site.send("reset-limits", &[("scope", "queue"), ("name", name)])
        .await;
    assert!(site.page("limits").await.contains("Nothing is limited"));
    let (status, _) = site
        .refused(
            "weight",
            &[("type", "welcome"), ("key", "{"), ("weight", "2")],
        )
        .await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn schedules_run_now_rest_and_go() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let mut schedules = taskq::schedules(&mut db);
    schedules
        .upsert(
            "nightly <b>",
            "0 2 * * *",
            "Europe/Zurich",
            Welcome { usr_id: 1 },
        )
        .await
        .expect("said");
    let site = site(&pool).await;
    let page = site.page("schedules").await;
    assert!(
        page.contains("nightly &#60;b&#62;") && page.contains("0 2 * * *"),
        "{page}"
    );
    let fields = [("name", "nightly <b>")];
    let link = site.send("run-schedule", &fields).await;
    assert!(site.page(&link).await.contains("welcome"));
    site.send(
        "pause",
        &[
            ("scope", "schedule"),
            ("name", "nightly <b>"),
            ("back", "schedules"),
        ],
    )
    .await;
    assert!(site.page("schedules").await.contains("paused"));
    assert_eq!(
        site.send("remove-schedule", &fields).await,
        "schedules?did=removed"
    );
    assert_eq!(
        site.send("remove-schedule", &fields).await,
        "schedules?did=absent"
    );
    let (status, _) = site.refused("run-schedule", &fields).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn a_worker_is_asked_to_stop() {
    let (_database, pool) = database().await;
    let site = site(&pool).await;
    let worker = crate::support::worker(&pool)
        .release("1.4.2")
        .only::<(Welcome,)>()
        .build()
        .await
        .expect("a worker");
    let id = worker.id().to_string();
    let page = async {
        crate::support::until("it is registered", async || {
            let page = site.page("workers").await;
            page.contains(&id) && page.contains("1.4.2")
        })
        .await;
        site.send(
            "stop-worker",
            &[("id", &id), ("reason", "its host is changed")],
        )
        .await
    };
    let (ended, link) = tokio::join!(worker.run_until(std::future::pending::<()>()), page);
    ended.expect("it stops in order");
    assert_eq!(link, "workers?did=stopping");
    assert!(site.page("audit").await.contains("its host is changed"));
    let (status, _) = site.refused("stop-worker", &[("id", "x")]).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn refused_tasks_are_taken_back_and_the_page_says_what_is_still_in_the_way() {
    let (_database, pool) = database().await;
    query(
        "insert into taskq.refused (task_id, task_type, payload_version, payload, queue, priority, run_at, created_at, attempts, crashes)
         select n, 'a', 1, jsonb_build_object('n', n), 'default', 0, now(), now(), 0, 0 from generate_series(1, 2) as n",
    )
    .execute(&pool)
    .await
    .expect("refused");
    query("alter table taskq.task add constraint mine check (payload <> '{\"n\": 2}')")
        .execute(&pool)
        .await
        .expect("in the way");
    let site = site(&pool).await;
    assert!(site.page("overview").await.contains("action=\"take-back\""));
    let (status, page) = site.refused("take-back", &[("all", "yes")]).await;
    assert!(status.is_client_error(), "{status}");
    assert!(
        page.contains("1 task waits again, 1 does not: Postgres still refuses task 2"),
        "{page}"
    );
    query("alter table taskq.task drop constraint mine")
        .execute(&pool)
        .await
        .expect("gone");
    let page = site.send("take-back", &[("id", "2")]).await;
    assert_eq!(page, "task?id=2&did=back");
    assert!(!site.page("overview").await.contains("take-back"));
}

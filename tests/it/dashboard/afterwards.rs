//! What becomes of a task that was retried, and reasons that stand beside what is done at once.

use reqwest::StatusCode;
use sqlx::{query, query_scalar};

use super::{enqueue, kill, site};
use crate::support::database;

#[tokio::test]
async fn a_task_that_was_retried_and_is_kept_nowhere_has_completed_and_no_page_is_missing() {
    let (_database, pool) = database().await;
    let site = site(&pool).await;
    let task_id = enqueue(&pool, "mail", "{}").await;
    kill(&pool, task_id, "no").await;
    let id = task_id.to_string();
    let link = site.send("retry", &[("id", &id)]).await;
    assert!(site.page(&link).await.contains("The task waits to run."));
    // Its worker is faster than whoever looks.
    query("delete from taskq.task")
        .execute(&pool)
        .await
        .expect("completed");
    let page = site.page(&link).await;
    assert!(
        page.contains("is no longer there: it has completed since ada had it run (completed tasks of its type are not kept)")
            && !page.contains("waits to run"),
        "{page}"
    );
    // It may have died again, and been deleted with others.
    query(
        "insert into taskq.bulk (verb, filter, by, began_at, ended_at, done)
         values ('discard', '{}', 'grace', now(), now(), 1)",
    )
    .execute(&pool)
    .await
    .expect("done");
    let page = site.page(&link).await;
    assert!(
        page.contains("or it has died, and was deleted with all that matched"),
        "{page}"
    );

    let other = enqueue(&pool, "mail", "{}").await;
    kill(&pool, other, "no").await;
    let id = other.to_string();
    site.send("discard", &[("id", &id), ("reason", "nobody wants it")])
        .await;
    for (id, says) in [
        (
            other,
            "is no longer there: ada has deleted it: nobody wants it",
        ),
        (999, "or it never was"),
    ] {
        let answer = site
            .get(&format!("task?id={id}"))
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
        let text = answer.text().await.expect("text");
        assert!(text.contains(says), "{text}");
    }
}

#[tokio::test]
async fn one_task_of_a_cause_is_retried_before_the_others() {
    let (_database, pool) = database().await;
    let site = site(&pool).await;
    for _ in 0..3 {
        let task_id = enqueue(&pool, "mail", "{}").await;
        kill(&pool, task_id, "the server said 421").await;
    }
    let overview = site.page("overview").await;
    let causes = site.page("causes").await;
    assert!(
        overview.contains("Retry one first") && causes.contains("Retry one first"),
        "{causes}"
    );
    let cause: String = query_scalar("select 'cause:' || cause from taskq.dead limit 1")
        .fetch_one(&pool)
        .await
        .expect("a cause");
    let link = site.send("retry-one", &[("q", &cause)]).await;
    assert!(
        link.starts_with("task?id=") && link.ends_with("&did=one"),
        "{link}"
    );
    let page = site.page(&link).await;
    assert!(
        page.contains("here you see what becomes of it. The others are as they were."),
        "{page}"
    );
    let counts: (i64, i64) = sqlx::query_as(
        "select (select count(*) from taskq.task), (select count(*) from taskq.dead)",
    )
    .fetch_one(&pool)
    .await
    .expect("counts");
    assert_eq!(counts, (1, 2));
    let (status, text) = site.refused("retry-one", &[("q", "type:nothing")]).await;
    assert!(
        status == StatusCode::UNPROCESSABLE_ENTITY && text.contains("no task matches"),
        "{text}"
    );
    // What waits is none of the dead.
    let of_two = site.send("retry-one", &[("q", "type:mail")]).await;
    assert_ne!(of_two, link);
}

#[tokio::test]
async fn what_is_done_at_once_takes_a_reason_too() {
    let (_database, pool) = database().await;
    let site = site(&pool).await;
    site.send("pause", &[("scope", "queue"), ("name", "mail")])
        .await;
    site.send(
        "limit",
        &[("scope", "queue"), ("name", "mail"), ("concurrency", "0")],
    )
    .await;
    enqueue(&pool, "mail", "{}").await;
    query(
        "insert into taskq.worker (worker_id, host, process_id, queues, task_types, expires_at, slots)
         values ('00000000-0000-0000-0000-000000000002', 'b', 2, '{}', '{}', now() - interval '10 minutes', 1)",
    )
    .execute(&pool)
    .await
    .expect("vanished");
    for page in ["queues", "limits", "workers", "overview"] {
        let html = site.page(page).await;
        assert!(html.contains("class=\"because\""), "{page}: {html}");
    }
    let of_queue = [
        ("scope", "queue"),
        ("name", "mail"),
        ("reason", "SMTP is up"),
    ];
    site.send("resume", &of_queue).await;
    site.send("reset-limits", &of_queue).await;
    let forget = [
        ("id", "00000000-0000-0000-0000-000000000002"),
        ("reason", "SMTP is up"),
    ];
    site.send("forget-worker", &forget).await;
    let because: i64 = query_scalar("select count(*) from taskq.audit where reason = 'SMTP is up'")
        .fetch_one(&pool)
        .await
        .expect("a count");
    assert_eq!(because, 3);
}

#[tokio::test]
async fn all_settings_of_the_server_are_acknowledged_by_one_deed() {
    let (_database, pool) = database().await;
    let site = site(&pool).await;
    let found = taskq::operate(&pool).doctor().await.expect("examined");
    let settings: Vec<_> = found.iter().filter(|it| it.problem == "setting").collect();
    let [first, _, ..] = &settings[..] else {
        println!("skipped: the settings of this server are as they should be");
        return;
    };
    let button = format!("Acknowledge all {} settings", settings.len());
    let overview = site.page("overview").await;
    assert!(overview.contains(&button), "{button}: {overview}");
    let severity = first.severity.to_string();
    let fields = [
        ("problem", "setting"),
        ("subject", &first.subject),
        ("severity", &severity),
        ("reason", "a server of tests"),
        ("all", "1"),
    ];
    let link = site.send("acknowledge", &fields).await;
    assert!(
        site.page(&link)
            .await
            .contains("All settings are acknowledged")
    );
    let known: i64 = query_scalar(
        "select count(*) from taskq.acknowledged where problem = 'setting' and reason = 'a server of tests'",
    )
    .fetch_one(&pool)
    .await
    .expect("a count");
    assert_eq!(usize::try_from(known), Ok(settings.len()));
}

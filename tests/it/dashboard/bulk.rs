//! What is done to all that match.

use reqwest::StatusCode;
use sqlx::{PgPool, query, query_scalar};

use super::{Site, enqueue, site};
use crate::support::{database, until};

async fn waiting(pool: &PgPool) -> i64 {
    let count = query_scalar("select count(*) from taskq.task")
        .fetch_one(pool)
        .await;
    count.expect("readable")
}

async fn dead(pool: &PgPool, count: i32) {
    query(
        "insert into taskq.dead (task_id, task_type, queue, priority, payload, created_at, state, attempts, crashes)
         select n, 'mail', 'default', 0, '{}', now(), 'discarded', 1, 0 from generate_series(1000001, 1000000 + $1) as n",
    )
    .bind(count)
    .execute(pool)
    .await
    .expect("dead");
}

fn id(link: &str) -> &str {
    link.strip_prefix("bulk?id=").expect("an operation")
}

async fn ends(site: &Site, link: &str) -> String {
    let mut page = String::new();
    until("it has ended", async || {
        page = site.page(link).await;
        page.contains("It has ended.")
    })
    .await;
    page
}

#[tokio::test]
async fn all_that_match_are_frozen_counted_confirmed_and_done() {
    let (_database, pool) = database().await;
    dead(&pool, 1_500).await;
    let site = site(&pool).await;
    let fields = [
        ("verb", "retry"),
        ("q", "state:dead type:mail"),
        ("reason", "it works again"),
    ];
    let link = site.send("freeze", &fields).await;
    let page = site.page(&link).await;
    assert!(
        page.contains("Retry 1,500 tasks</button>") && page.contains("Type 1,500"),
        "{page}"
    );
    // What dies meanwhile is not among them.
    dead_later(&pool).await;
    assert_eq!(waiting(&pool).await, 0);
    for typed in ["", "1501", "yes"] {
        let (status, text) = site
            .refused("run-bulk", &[("id", id(&link)), ("typed", typed)])
            .await;
        assert!(
            status == StatusCode::UNPROCESSABLE_ENTITY
                && text.contains("type that number")
                && text.contains("action=\"run-bulk\""),
            "{text}"
        );
    }
    assert_eq!(waiting(&pool).await, 0);
    let (_, text) = site
        .refused(
            "run-bulk",
            &[("id", id(&link)), ("typed", "1"), ("reason", "no, \"so\"")],
        )
        .await;
    assert!(
        page.contains("value=\"it works again\"") && text.contains("value=\"no, &#34;so&#34;\""),
        "it asks why, and keeps what was typed: {text}"
    );
    let fields = [
        ("id", id(&link)),
        ("typed", "1,500"),
        ("reason", "it works since noon"),
    ];
    site.send("run-bulk", &fields).await;
    let page = ends(&site, &link).await;
    assert!(
        page.contains("1,500 of 1,500") && page.contains(": it works since noon."),
        "{page}"
    );
    let reasons: Vec<String> = query_scalar("select reason from taskq.audit where verb = 'retry'")
        .fetch_all(&pool)
        .await
        .expect("readable");
    assert_eq!(reasons, ["it works since noon"]);
    assert_eq!(waiting(&pool).await, 1_500);
    assert!(site.page("bulks").await.contains("1,500"));
}

async fn dead_later(pool: &PgPool) {
    let task_id = enqueue(pool, "mail", "{}").await;
    super::kill(pool, task_id, "no").await;
}

#[tokio::test]
async fn few_need_no_typing_and_what_is_frozen_may_be_left() {
    let (_database, pool) = database().await;
    dead(&pool, 3).await;
    let site = site(&pool).await;
    let link = site.send("freeze", &[("verb", "discard"), ("q", "")]).await;
    assert_eq!(
        site.send("drop-bulk", &[("id", id(&link)), ("back", "bulks")])
            .await,
        "bulks?did=drop"
    );
    let gone = site.get(&link).send().await.expect("an answer");
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
    let link = site
        .send("freeze", &[("verb", "discard"), ("q", "state:dead")])
        .await;
    let page = site.page(&link).await;
    assert!(page.contains("This cannot be undone."), "{page}");
    assert!(
        page.contains("name=\"reason\""),
        "wherever it was begun: {page}"
    );
    let long = "x".repeat(10_001);
    let fields = [("id", id(&link)), ("reason", long.as_str())];
    let (_, text) = site.refused("run-bulk", &fields).await;
    assert!(text.contains("reason"), "{text}");
    assert!(
        site.page(&link).await.contains("not begun"),
        "nothing was done"
    );
    site.send("run-bulk", &[("id", id(&link))]).await;
    ends(&site, &link).await;
    let left: i64 = query_scalar("select count(*) from taskq.dead")
        .fetch_one(&pool)
        .await
        .expect("readable");
    assert_eq!(left, 0);
}

#[tokio::test]
async fn an_operation_on_a_cause_says_what_they_had_died_of_when_they_are_gone() {
    let (_database, pool) = database().await;
    query(
        "insert into taskq.dead (task_id, task_type, queue, priority, payload, created_at, state, attempts, crashes, finished_at, errors)
         select 1000000 + n, 'mail', 'default', 0, '{}', now(), 'discarded', 1, 0, now() - n * interval '1 minute',
             jsonb_build_array(jsonb_build_object('error', case when n % 2 = 0 then 'no <such> usr ' || n else 'timed out' end))
         from generate_series(1, 6) as n",
    )
    .execute(&pool)
    .await
    .expect("dead");
    let cause: String = query_scalar("select cause from taskq.dead where task_id = 1000002")
        .fetch_one(&pool)
        .await
        .expect("a cause");
    let site = site(&pool).await;
    let filter = format!("cause:{cause}");
    let link = site
        .send("freeze", &[("verb", "retry"), ("q", &filter)])
        .await;
    let words = "mail: no &#60;such&#62; usr 2";
    let page = site.page(&link).await;
    assert!(page.contains(words), "{page}");
    site.send("run-bulk", &[("id", id(&link))]).await;
    ends(&site, &link).await;
    for page in [&link, "bulks"] {
        let page = site.page(page).await;
        assert!(page.contains(words) && page.contains(&filter), "{page}");
        assert!(!page.contains("timed out"), "{page}");
    }
}

#[tokio::test]
async fn an_operation_is_stopped_and_goes_on() {
    let (_database, pool) = database().await;
    dead(&pool, 3_000).await;
    let site = site(&pool).await;
    let link = site
        .send("freeze", &[("verb", "retry"), ("q", "state:dead")])
        .await;
    // Stopped before it begins, as if somebody had been quick.
    query("update taskq.bulk set began_at = now()")
        .execute(&pool)
        .await
        .expect("begun");
    assert_eq!(
        site.send("stop-bulk", &[("id", id(&link))]).await,
        format!("{link}&did=stop")
    );
    let page = site.page(&link).await;
    assert!(page.contains("Go on with 3,000"), "{page}");
    site.send("run-bulk", &[("id", id(&link))]).await;
    ends(&site, &link).await;
    assert_eq!(waiting(&pool).await, 3_000);
    for action in ["run-bulk", "stop-bulk", "drop-bulk"] {
        let (status, _) = site.refused(action, &[("id", "999")]).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{action}");
    }
}

#[tokio::test]
async fn what_makes_no_sense_for_all_is_refused() {
    let (_database, pool) = database().await;
    let site = site(&pool).await;
    for fields in [
        [("verb", "retry"), ("q", "state:running")],
        [("verb", "reschedule"), ("q", "state:waiting")],
        [("verb", "retry"), ("q", "stat:dead")],
    ] {
        let (status, text) = site.refused("freeze", &fields).await;
        assert_eq!(
            status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{fields:?}: {text}"
        );
    }
    let (status, _) = site.refused("freeze", &[("verb", "drop")]).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_page_of_a_retry_says_what_has_become_of_the_tasks() {
    let (_database, pool) = database().await;
    dead(&pool, 8).await;
    let site = site(&pool).await;
    let link = site
        .send("freeze", &[("verb", "retry"), ("q", "type:mail")])
        .await;
    assert!(!site.page(&link).await.contains("What has become of"));
    site.send("run-bulk", &[("id", id(&link))]).await;
    ends(&site, &link).await;
    let told = async |expected: [(&str, &str); 5]| {
        let page = site.page(&link).await;
        let (_, figures) = page.split_once("id=\"retried\"").expect("told");
        let (figures, _) = figures.split_once("</ul>").expect("a list");
        for (name, number) in expected {
            let figure =
                format!(r#"<span class="name">{name}</span> <span class="value">{number}</span>"#);
            assert!(figures.contains(&figure), "{figure}: {figures}");
        }
    };
    let all = [
        ("Completed", "0"),
        ("Running", "0"),
        ("Waiting", "8"),
        ("Failed again", "0"),
        ("Dead again", "0"),
    ];
    told(all).await;
    let holds_up = async || site.page(&link).await.contains("None of them runs now");
    let have_died = async || site.page(&link).await.contains("Some have died again");
    assert!(holds_up().await && !have_died().await);
    sqlx::raw_sql(
        "delete from taskq.task where task_id <= 1000003;
         update taskq.task set attempts = 1 where task_id = 1000004;
         insert into taskq.lease (lease_id, worker_id, queue, expires_at, task_ids, task_types, payload_versions, payloads,
             priorities, run_ats, created_ats, max_attempts, attempts, crashes, errors)
         select gen_random_uuid(), gen_random_uuid(), 'default', now() + interval '1 minute', array_agg(task_id),
             array_agg(task_type), array_agg(payload_version), array_agg(payload), array_agg(priority), array_agg(run_at),
             array_agg(created_at), array_agg(max_attempts), array_agg(attempts), array_agg(crashes), array_agg(errors)
         from taskq.task
         where task_id in (1000005, 1000006);
         delete from taskq.task where task_id in (1000005, 1000006)",
    )
    .execute(&pool)
    .await
    .expect("staged");
    super::kill(&pool, 1_000_007, "no").await;
    // Another task of the same kind is none of them.
    enqueue(&pool, "mail", "{}").await;
    let some = [
        ("Completed", "3"),
        ("Running", "2"),
        ("Waiting", "1"),
        ("Failed again", "1"),
        ("Dead again", "1"),
    ];
    told(some).await;
    assert!(!holds_up().await && have_died().await);
    let bulk_id: i64 = id(&link).parse().expect("a number");
    let followed = taskq::operate(&pool).follow_bulk(bulk_id).await;
    assert_eq!(
        followed.expect("told").to_string(),
        "3 completed, 0 deleted since, 2 run, 1 wait, 1 wait after they failed again, 1 dead again, 0 refused, of 8 that are followed"
    );
    // Whatever is deleted has not completed.
    site.send("discard", &[("id", "1000007")]).await;
    super::kill(&pool, 1_000_008, "no").await;
    let deleting = site
        .send("freeze", &[("verb", "discard"), ("q", "id:1000008")])
        .await;
    let asked = site.page(&deleting).await;
    assert!(
        asked.contains("<h1>Delete 1 task for good</h1>")
            && asked.contains("Nothing is deleted yet")
            && asked.contains("they are kept now, in the states"),
        "{asked}"
    );
    site.send("run-bulk", &[("id", id(&deleting))]).await;
    ends(&site, &deleting).await;
    let deleted = [
        ("Completed", "3"),
        ("Deleted", "2"),
        ("Running", "2"),
        ("Failed again", "1"),
        ("Dead again", "0"),
    ];
    told(deleted).await;
    // After a week the next operation forgets them.
    sqlx::raw_sql("update taskq.bulk set ended_at = now() - interval '8 days'")
        .execute(&pool)
        .await
        .expect("aged");
    site.send("freeze", &[("verb", "retry"), ("q", "type:other")])
        .await;
    assert!(!site.page(&link).await.contains("What has become of"));
}

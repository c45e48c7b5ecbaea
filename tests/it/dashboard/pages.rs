//! What the pages show.

use reqwest::StatusCode;
use sqlx::query;
use taskq::dashboard::ROUTES;

use super::{enqueue, header, kill, site};
use crate::support::{database, execute};

/// What somebody would like to run.
const SCRIPT: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>";

#[tokio::test]
async fn script_in_every_text_is_text() {
    let (_database, pool) = database().await;
    let name = format!("a/b?c#d %{SCRIPT}");
    let payload = serde_json::json!({ "x": SCRIPT, SCRIPT: 1 }).to_string();
    let dead = enqueue(&pool, &name, &payload).await;
    kill(&pool, dead, SCRIPT).await;
    let waiting = enqueue(&pool, &name, &payload).await;
    query("update taskq.task set queue = $1")
        .bind(&name)
        .execute(&pool)
        .await
        .expect("moved");
    query("insert into taskq.worker (worker_id, host, process_id, queues, task_types, release, seen_at, expires_at)
           values (gen_random_uuid(), $1, 1, array[$1], array[$1], left($1, 60), now(), now() + interval '1 hour')")
        .bind(SCRIPT)
        .execute(&pool)
        .await
        .expect("a worker");
    let site = site(&pool).await;
    for scope in ["queue", "task_type"] {
        let fields = [("scope", scope), ("name", &*name), ("reason", SCRIPT)];
        site.send("pause", &fields).await;
        site.send(
            "limit",
            &[
                ("scope", scope),
                ("name", &*name),
                ("concurrency", "0"),
                ("reason", SCRIPT),
            ],
        )
        .await;
    }
    site.send(
        "freeze",
        &[("verb", "retry"), ("q", "state:dead"), ("reason", SCRIPT)],
    )
    .await;
    site.send(
        "retry",
        &[("id", &*waiting.to_string()), ("reason", SCRIPT)],
    )
    .await;
    let pages = ROUTES
        .iter()
        .filter(|it| it.method == "GET" && it.path != "theme" && it.path != "events");
    let mut pages: Vec<String> = pages.map(|it| it.path.to_owned()).collect();
    pages.extend([
        format!("task?id={dead}"),
        format!("task?id={waiting}"),
        "bulk?id=1".to_owned(),
        "tasks?q=%3Cscript%3Ealert(1)%3C/script%3E".to_owned(),
        "causes?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E".to_owned(),
        "tasks?after=%3Cscript%3Ealert(1)%3C/script%3E".to_owned(),
        "tasks?did=%3Cscript%3Ealert(1)%3C/script%3E".to_owned(),
        "enqueue?type=%3Cscript%3Ealert(1)%3C/script%3E".to_owned(),
        "task?id=%3Cscript%3Ealert(1)%3C/script%3E".to_owned(),
        "%3Cscript%3Ealert(1)%3C/script%3E".to_owned(),
    ]);
    let mut escaped = 0;
    for page in pages {
        let response = site.get(&page).send().await.expect("an answer");
        let text = response.text().await.expect("text");
        assert!(!text.contains("<script>alert"), "{page}: {text}");
        assert!(!text.contains("<img src=x"), "{page}: {text}");
        escaped += text.matches("alert(1)").count();
    }
    assert!(escaped > 20, "{escaped}");
    // Its links lead to it.
    let overview = site.page("overview").await;
    let links = overview
        .split("href=\"")
        .skip(1)
        .filter_map(|it| it.split('"').next());
    let mut links = links.filter(|it| it.starts_with("tasks?q=queue%3A%22a%2Fb%3Fc%23d+%25"));
    let link = links
        .find(|it| !it.contains("dead"))
        .expect("a link to its tasks")
        .replace("&#38;", "&");
    let tasks = site.page(&link).await;
    assert!(
        tasks.contains(&format!("data-id=\"{waiting}\"")),
        "{link}: {tasks}"
    );
}

#[tokio::test]
async fn every_answer_has_the_headers_that_keep_it_safe() {
    let (_database, pool) = database().await;
    let site = site(&pool).await;
    let overview = site.page("overview").await;
    let asset = overview
        .split("stylesheet\" href=\"")
        .nth(1)
        .expect("a style sheet");
    let asset = asset.split('"').next().expect("its name");
    let script = overview
        .split("<script src=\"")
        .nth(1)
        .and_then(|it| it.split('"').next());
    for page in [
        "overview",
        "nothing",
        "task?id=1",
        "tasks?q=x",
        "retry",
        asset,
        script.expect("a script"),
    ] {
        let response = site.get(page).send().await.expect("an answer");
        let policy = header(&response, "content-security-policy");
        assert!(
            policy.contains("default-src 'none'") && !policy.contains("unsafe"),
            "{page}: {policy}"
        );
        assert_eq!(header(&response, "x-content-type-options"), "nosniff");
        assert!(header(&response, "x-robots-tag").contains("noindex"));
        let cache = header(&response, "cache-control");
        let is_asset = page == asset || Some(page) == script;
        assert_eq!(cache.contains("immutable"), is_asset, "{page}: {cache}");
        assert_eq!(cache.contains("no-store"), !is_asset, "{page}: {cache}");
    }
    let lost = site
        .client
        .get(format!("{}/{asset}", site.url))
        .send()
        .await;
    assert_eq!(lost.expect("an answer").status(), StatusCode::UNAUTHORIZED);
    // No style and no script stands in a page.
    assert!(
        !overview.contains("style=") && !overview.contains("<style"),
        "{overview}"
    );
    assert_eq!(overview.matches("<script").count(), 1);
}

#[tokio::test]
async fn a_payload_is_shown_as_postgres_has_it() {
    let (_database, pool) = database().await;
    let payload = r#"{"big": 9007199254740993, "float": 1.10, "text": "a\\u0000b \"q\" ü"}"#;
    let task_id = enqueue(&pool, "mail", payload).await;
    let site = site(&pool).await;
    let page = site.page(&format!("task?id={task_id}")).await;
    for text in ["9007199254740993", "1.10", "a\\\\u0000b"] {
        assert!(page.contains(text), "{text}: {page}");
    }
    let large = format!(r#"{{"text": "{}end"}}"#, "x".repeat(1_000_000));
    let task_id = enqueue(&pool, "mail", &large).await;
    let page = site.page(&format!("task?id={task_id}")).await;
    assert!(
        page.len() < 60_000 && page.contains("beginning of 1.0 MB"),
        "{}",
        page.len()
    );
    let all = site.page(&format!("task?id={task_id}&all=1")).await;
    assert!(all.contains("xend"));
}

#[tokio::test]
async fn a_list_goes_on_where_a_page_ended_and_misses_none() {
    let (_database, pool) = database().await;
    // All of one instant.
    query("insert into taskq.task (task_type, payload) select 'mail', '{}' from generate_series(1, 120)")
        .execute(&pool)
        .await
        .expect("enqueued");
    let site = site(&pool).await;
    let (mut page, mut seen) = ("tasks?q=type%3Amail".to_owned(), 0);
    loop {
        let text = site.page(&page).await;
        seen += text.matches("data-id=").count();
        let next = text
            .split("href=\"")
            .skip(1)
            .find_map(|it| it.split_once("\" rel=\"next\""));
        match next {
            Some((link, _)) => page = link.replace("&#38;", "&").replace("&amp;", "&"),
            None => break,
        }
    }
    assert_eq!(seen, 120);
    let text = site.page("tasks?q=type%3Anone").await;
    assert!(text.contains("No task matches"), "{text}");
    let text = site.page("tasks?q=stat%3Adead").await;
    assert!(text.contains("did you mean `state`?"), "{text}");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_never_breaks() {
    let (_database, pool) = database().await;
    let site = site(&pool).await;
    let long = format!("tasks?q={}", "x".repeat(9_000));
    let many = format!("tasks?{}", "a=1&".repeat(30));
    for page in [
        "task",
        "task?id=",
        "task?id=1e9",
        "task?id=99999999999999999999",
        "task?id=-1",
        "bulk?id=x",
        "bulk?id=1",
        "audit?before=x",
        "tasks?after=1.2.3",
        "events",
        "events?page=nothing",
        "events?page=theme",
        &long,
        &many,
        "nothing",
        "overview/nothing",
    ] {
        let response = site.get(page).send().await.expect("an answer");
        assert!(
            response.status().is_client_error(),
            "{page}: {}",
            response.status()
        );
    }
    for page in [
        "overview?hours=1000000000",
        "overview?hours=0",
        "tasks?page=1e9",
        "tasks?q=",
    ] {
        site.page(page).await;
    }
}

#[tokio::test]
async fn the_overview_shows_each_trouble_with_what_mends_it() {
    let (_database, pool) = database().await;
    for _ in 0..3 {
        let dead = enqueue(&pool, "mail", "{}").await;
        kill(&pool, dead, "the server said no").await;
    }
    enqueue(&pool, "unknown", "{}").await;
    query(
        "insert into taskq.refused (task_id, task_type, payload, refusal)
         select 1000 + n, 'mail', '{}', '{\"message\": \"no such order\"}' from generate_series(1, 1234) as n",
    )
    .execute(&pool)
    .await
    .expect("refused");
    let site = site(&pool).await;
    site.send(
        "pause",
        &[
            ("scope", "queue"),
            ("name", "mail"),
            ("reason", "SMTP is down"),
        ],
    )
    .await;
    site.send(
        "limit",
        &[("scope", "queue"), ("name", "mail"), ("concurrency", "0")],
    )
    .await;
    let page = site.page("overview").await;
    for text in [
        "No worker is alive",
        "3 tasks of type mail have died",
        "Postgres has refused to take 1,234 tasks back; the last: no such order",
        "SMTP is down",
        "limited to nothing",
        "action=\"resume\"",
        "Retry all…",
        "action=\"reset-limits\"",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    site.send(
        "resume",
        &[("scope", "queue"), ("name", "mail"), ("back", "overview")],
    )
    .await;
    site.send(
        "reset-limits",
        &[("scope", "queue"), ("name", "mail"), ("back", "overview")],
    )
    .await;
    let page = site.page("overview").await;
    assert!(
        !page.contains("SMTP is down") && !page.contains("limited to nothing"),
        "{page}"
    );
}

#[tokio::test]
async fn what_is_known_goes_below_the_trouble_until_it_counts_again() {
    let (_database, pool) = database().await;
    let site = site(&pool).await;
    let names = [("problem", "no worker"), ("subject", "worker")];
    let page = site.page("overview").await;
    assert!(page.contains("value=\"no worker\"") && !page.contains("class=\"known\""));
    let known = [
        &names[..],
        &[
            ("severity", "error"),
            ("reason", "it is <b>night</b>"),
            ("until", "8h"),
        ],
    ]
    .concat();
    let link = site.send("acknowledge", &known).await;
    let page = site.page(&link).await;
    let (trouble, below) = page.split_once("class=\"known\"").expect("it is known");
    assert!(!trouble.contains("No worker is alive"), "{trouble}");
    assert!(trouble.contains("It is acknowledged: it stays as it is"));
    for text in [
        "No worker is alive",
        "by ada: it is &#60;b&#62;night&#60;/b&#62;; counts again",
        "in 8 h</time>",
    ] {
        assert!(below.contains(text), "{text}: {below}");
    }
    for (severity, until) in [
        ("bad", ""),
        ("error", "soon"),
        ("error", "1990-01-01T00:00Z"),
    ] {
        let fields = [&names[..], &[("severity", severity), ("until", until)]].concat();
        let (status, text) = site.refused("acknowledge", &fields).await;
        assert!(status.is_client_error(), "{severity} {until}: {text}");
    }
    let link = site.send("unacknowledge", &names).await;
    let page = site.page(&link).await;
    assert!(page.contains("It counts as trouble again.") && !page.contains("class=\"known\""));
    let audit = site.page("audit").await;
    assert!(
        audit.contains("unacknowledge") && audit.contains("no worker: worker"),
        "{audit}"
    );
}

#[tokio::test]
async fn times_are_the_databases_whatever_the_client_thinks() {
    let (_database, pool) = database().await;
    let task_id = enqueue(&pool, "mail", "{}").await;
    query("update taskq.task set run_at = now() + interval '90 minutes', created_at = now() - interval '3 hours'")
        .execute(&pool)
        .await
        .expect("moved");
    let page = site(&pool).await.page(&format!("task?id={task_id}")).await;
    assert!(
        page.contains("in 89 min</time>") || page.contains("in 90 min</time>"),
        "{page}"
    );
    assert!(
        page.contains("3 h ago</time>") && page.contains(" UTC\">"),
        "{page}"
    );
}

#[tokio::test]
async fn a_page_says_where_its_search_stopped_and_looks_further_if_it_is_asked() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        r#"insert into taskq.task (task_type, payload)
           select case n when 1 then 'rare' else 'a' end, jsonb_build_object('usr_id', n % 7)
           from generate_series(1, 90000) as n"#,
    )
    .await;
    let site = site(&pool).await;
    let page = site.page("tasks?q=type:rare+payload.usr_id:1").await;
    assert!(page.contains("None has been found so far."), "{page}");
    let (_, rest) = page.split_once("data-stopped>").expect("it says so");
    let (text, rest) = rest
        .split_once("<a class=\"button\" href=\"")
        .expect("a link");
    assert!(
        text.contains("of the tasks that wait, the newest first, and stopped"),
        "{text}"
    );
    let (link, _) = rest.split_once('"').expect("its end");
    let further = site
        .page(&link.replace("&#38;", "&").replace("&amp;", "&"))
        .await;
    assert!(further.contains("data-id=\"1\""), "{further}");
    assert!(!further.contains("data-stopped"), "{further}");
}

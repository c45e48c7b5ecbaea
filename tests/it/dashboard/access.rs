//! Who is let in, and what they may.

use axum::http::request::Parts;
use reqwest::{Method, StatusCode};
use sqlx::{PgPool, query_scalar};
use taskq::dashboard::{self, Access, May, ROUTES, ServeError, Visitor};

use super::{Site, enqueue, header, kill, site, three};
use crate::support::database;

/// Everything that somebody could have changed.
pub(super) async fn traces(pool: &PgPool) -> Vec<Option<String>> {
    let mut all = Vec::new();
    for table in [
        "tasks",
        "audit",
        "pause",
        "bulk",
        "fair_weight",
        "limits",
        "schedule",
    ] {
        let sql =
            format!("select string_agg(it::text, '|' order by it::text) from taskq.{table} as it");
        let rows = query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(pool).await;
        all.push(rows.expect("readable"));
    }
    all
}

#[tokio::test]
async fn every_route_demands_what_the_table_says_and_a_reader_changes_nothing() {
    let (_database, pool) = database().await;
    let waiting = enqueue(&pool, "mail", "{}").await.to_string();
    let dead = enqueue(&pool, "mail", "{}").await;
    kill(&pool, dead, "no").await;
    let site = site(&pool).await;
    let before = traces(&pool).await;
    let people = [
        ("looker", "look", May::Look),
        ("actor", "act", May::Act),
        ("ada", "all", May::Bulk),
    ];
    assert!(ROUTES.len() > 25);
    for route in ROUTES {
        let method: Method = route.method.parse().expect("a method");
        assert!(
            route.method == "GET" || route.may >= May::Act,
            "{} changes something",
            route.path
        );
        // What would do something, for whoever may.
        let fields = [
            ("id", waiting.as_str()),
            ("scope", "queue"),
            ("name", "mail"),
            ("type", "mail"),
            ("payload", "{}"),
            ("unchecked", "1"),
            ("verb", "cancel"),
            ("q", "state:waiting"),
            ("concurrency", "0"),
        ];
        let ask = |person: Option<(&str, &str)>| {
            let request = site
                .client
                .request(method.clone(), format!("{}/{}", site.url, route.path));
            let request = match person {
                Some((name, password)) => request.basic_auth(name, Some(password)),
                None => request,
            };
            match route.method {
                "POST" => request
                    .header("sec-fetch-site", "same-origin")
                    .form(&fields),
                _ => request,
            }
        };
        for wrong in [
            None,
            Some(("looker", "all")),
            Some(("", "")),
            Some(("ada", "")),
        ] {
            let response = ask(wrong).send().await.expect("an answer");
            assert_eq!(
                response.status(),
                StatusCode::UNAUTHORIZED,
                "{} {wrong:?}",
                route.path
            );
            assert!(header(&response, "www-authenticate").starts_with("Basic "));
        }
        for (name, password, may) in people {
            // Those who may would change what the next one finds.
            if may >= route.may && route.method == "POST" {
                continue;
            }
            let response = ask(Some((name, password))).send().await.expect("an answer");
            let status = response.status();
            let is_forbidden = status == StatusCode::FORBIDDEN;
            assert_eq!(
                is_forbidden,
                may < route.may,
                "{} {name}: {status}",
                route.path
            );
            assert_ne!(status, StatusCode::UNAUTHORIZED);
            assert!(status.as_u16() != 500, "{}", route.path);
        }
    }
    assert_eq!(traces(&pool).await, before);
}

#[tokio::test]
async fn who_may_not_act_sees_no_button() {
    let (_database, pool) = database().await;
    let dead = enqueue(&pool, "mail", "{}").await;
    kill(&pool, dead, "no").await;
    let site = site(&pool).await;
    let pages = ROUTES.iter().filter(|it| it.method == "GET");
    for route in pages.filter(|it| !["events", "theme"].contains(&it.path)) {
        let page = format!("{}?id={dead}", route.path);
        let request = site.client.get(format!("{}/{page}", site.url));
        let response = request.basic_auth("looker", Some("look")).send().await;
        let text = response.expect("an answer").text().await.expect("text");
        assert!(!text.contains("method=\"post\""), "{page}: {text}");
    }
    let text = site.page(&format!("task?id={dead}")).await;
    assert!(text.contains("method=\"post\""), "{text}");
}

#[tokio::test]
async fn the_audit_knows_who_it_was() {
    let (_database, pool) = database().await;
    let task_id = enqueue(&pool, "mail", "{}").await;
    let site = site(&pool).await;
    let fields = [("id", &*task_id.to_string()), ("reason", "wrong recipient")];
    let request = site.client.post(format!("{}/cancel", site.url));
    let request = request.basic_auth("actor", Some("act")).form(&fields);
    let request = request.header("sec-fetch-site", "same-origin");
    assert_eq!(
        request.send().await.expect("an answer").status(),
        StatusCode::SEE_OTHER
    );
    let said: (String, String) = sqlx::query_as("select by, reason from taskq.audit")
        .fetch_one(&pool)
        .await
        .expect("one");
    assert_eq!(said, ("actor".to_owned(), "wrong recipient".to_owned()));
    assert!(site.page("audit").await.contains("wrong recipient"));
}

#[tokio::test]
async fn a_change_that_another_site_asks_for_is_refused() {
    let (_database, pool) = database().await;
    let task_id = enqueue(&pool, "mail", "{}").await.to_string();
    let site = site(&pool).await;
    let host = site
        .url
        .trim_start_matches("http://")
        .split('/')
        .next()
        .expect("a host");
    let own = format!("http://{host}");
    let lan = [("host", "box.lan"), ("origin", "http://box.lan")];
    let post = |headers: &[(&str, &str)]| {
        let request = site.client.post(format!("{}/cancel", site.url));
        let request = request
            .basic_auth("ada", Some("all"))
            .form(&[("id", task_id.as_str())]);
        headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        })
    };
    let refused: [&[(&str, &str)]; 7] = [
        &[],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "none")],
        &[("sec-fetch-site", "cross-site"), ("origin", &own)],
        &[("origin", "http://evil.example")],
        &[("origin", "null")],
    ];
    for headers in refused {
        let response = post(headers).send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{headers:?}");
    }
    let state: String = query_scalar("select state from taskq.tasks")
        .fetch_one(&pool)
        .await
        .expect("one");
    assert_eq!(state, "waiting");
    // Another process behind the same address, plain http over a name of the LAN: nothing is kept between requests.
    for headers in [
        &lan[..],
        &[("origin", &*own)][..],
        &[("sec-fetch-site", "same-origin")][..],
    ] {
        let response = post(headers).send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::SEE_OTHER, "{headers:?}");
    }
    // A form that is none.
    let request = site
        .client
        .post(format!("{}/cancel", site.url))
        .basic_auth("ada", Some("all"));
    let request = request
        .header("sec-fetch-site", "same-origin")
        .body(format!("id={task_id}"));
    let response = request.header("content-type", "text/plain").send().await;
    assert_eq!(
        response.expect("an answer").status(),
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn off_loopback_nothing_is_served_without_access() {
    let (_database, pool) = database().await;
    for address in ["0.0.0.0:0", "[::]:0"] {
        let server = dashboard::server(taskq::operate(&pool));
        let error = server
            .bind(address.parse().expect("an address"))
            .await
            .expect_err("open");
        assert!(matches!(error, ServeError::Open { .. }), "{error:?}");
        assert!(error.to_string().contains(".access("), "{error}");
    }
    let server = dashboard::server(taskq::operate(&pool)).access(three());
    let bound = server
        .bind("0.0.0.0:0".parse().expect("an address"))
        .await
        .expect("it asks");
    assert!(!bound.address().ip().is_loopback());
}

#[tokio::test]
async fn with_a_password_a_proxy_on_this_machine_is_asked_for_it() {
    let (_database, pool) = database().await;
    let site = site(&pool).await;
    let request = site.client.get(format!("{}/overview", site.url));
    let response = request.header("x-forwarded-for", "127.0.0.1").send().await;
    assert_eq!(
        response.expect("an answer").status(),
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn tokens_and_the_applications_own_answer_let_in() {
    let (_database, pool) = database().await;
    let by_header = Access::by(|request: &Parts| {
        let user = request.headers.get("x-user")?.to_str().ok()?;
        Some(Visitor::new(user).may(May::Bulk))
    });
    let access = Access::bearer("script", "0f9a")
        .only(May::Look)
        .or(by_header.only(May::Act));
    let pages = dashboard::router(taskq::operate(&pool)).access(access);
    let site = Site::of(pages, "").await;
    let status = async |method: Method, page: &str, name: &str, value: &str| {
        let request = site.client.request(method, format!("{}/{page}", site.url));
        let request = request
            .header(name, value)
            .header("sec-fetch-site", "same-origin");
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        request.send().await.expect("an answer").status()
    };
    assert_eq!(
        status(Method::GET, "tasks", "authorization", "Bearer 0f9a").await,
        200
    );
    assert_eq!(
        status(Method::GET, "tasks", "authorization", "bearer 0f9a").await,
        200
    );
    for wrong in [
        "Bearer 0f9",
        "Bearer 0f9a0",
        "Bearer",
        "Bearer ",
        "Basic 0f9a",
    ] {
        assert_eq!(
            status(Method::GET, "tasks", "authorization", wrong).await,
            401,
            "{wrong}"
        );
    }
    assert_eq!(
        status(Method::POST, "pause", "authorization", "Bearer 0f9a").await,
        403
    );
    assert_eq!(status(Method::GET, "tasks", "x-user", "ada").await, 200);
    assert_eq!(status(Method::POST, "pause", "x-user", "ada").await, 400);
    assert_eq!(status(Method::POST, "freeze", "x-user", "ada").await, 403);
}

#[tokio::test]
async fn an_empty_password_lets_nobody_in() {
    let (_database, pool) = database().await;
    let access = Access::basic("", "")
        .or(Access::basic("ada", ""))
        .or(Access::bearer("script", ""));
    assert_eq!(
        format!("{access:?}"),
        r#"["basic ", "basic ada", "bearer script"]"#
    );
    let site = Site::of(dashboard::router(taskq::operate(&pool)).access(access), "").await;
    for header in ["Basic Og==", "Basic YWRhOg==", "Basic", "Bearer ", "Bearer"] {
        let request = site.client.get(format!("{}/overview", site.url));
        let response = request.header("authorization", header).send().await;
        assert_eq!(
            response.expect("an answer").status(),
            StatusCode::UNAUTHORIZED,
            "{header}"
        );
    }
}

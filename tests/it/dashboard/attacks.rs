//! What somebody tries who means harm, at every route.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use taskq::dashboard::ROUTES;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::access::traces;
use super::{enqueue, header, kill, site};
use crate::support::{LIMIT, database};

#[tokio::test]
async fn no_route_does_what_a_page_of_another_site_asks_for() {
    let (_database, pool) = database().await;
    let waiting = enqueue(&pool, "mail", "{}").await.to_string();
    let dead = enqueue(&pool, "mail", "{}").await;
    kill(&pool, dead, "no").await;
    let site = site(&pool).await;
    let before = traces(&pool).await;
    let mut tried = 0;
    for route in ROUTES.iter().filter(|route| route.method == "POST") {
        for id in [&waiting, &dead.to_string()] {
            let fields = [
                ("id", id.as_str()),
                ("scope", "queue"),
                ("name", "mail"),
                ("type", "mail"),
                ("payload", "{}"),
                ("unchecked", "1"),
                ("verb", "cancel"),
                ("q", "type:mail"),
                ("concurrency", "0"),
            ];
            let attempts: [&[(&str, &str)]; 6] = [
                // A script, or a browser of long ago.
                &[],
                // A form of another site, and a fetch without cors.
                &[
                    ("sec-fetch-site", "cross-site"),
                    ("sec-fetch-mode", "navigate"),
                    ("origin", "https://evil.example"),
                ],
                &[
                    ("sec-fetch-site", "cross-site"),
                    ("sec-fetch-mode", "no-cors"),
                ],
                // Another port of this host.
                &[
                    ("sec-fetch-site", "same-site"),
                    ("origin", "http://127.0.0.1:1"),
                ],
                // What is typed into the address, and a sandboxed frame.
                &[("sec-fetch-site", "none")],
                &[("origin", "null")],
            ];
            for headers in attempts {
                let request = site.client.post(format!("{}/{}", site.url, route.path));
                let request = request.basic_auth("ada", Some("all")).form(&fields);
                let request = headers.iter().fold(request, |request, (name, value)| {
                    request.header(*name, *value)
                });
                let response = request.send().await.expect("an answer");
                assert_eq!(
                    response.status(),
                    StatusCode::FORBIDDEN,
                    "{} {headers:?}",
                    route.path
                );
                tried += 1;
            }
        }
    }
    assert!(tried > 100);
    assert_eq!(traces(&pool).await, before);
}

#[tokio::test]
async fn a_route_has_one_method_and_no_header_or_field_makes_it_another() {
    let (_database, pool) = database().await;
    let task_id = enqueue(&pool, "mail", "{}").await.to_string();
    let site = site(&pool).await;
    let before = traces(&pool).await;
    for route in ROUTES {
        for method in [
            "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE",
        ] {
            let request = |known: bool| {
                let url = format!("{}/{}?id={task_id}&_method=POST", site.url, route.path);
                let method = Method::from_bytes(method.as_bytes()).expect("a method");
                let request = site.client.request(method, url);
                let request = request
                    .header("sec-fetch-site", "same-origin")
                    .header("x-http-method-override", "POST")
                    .header("x-method-override", "POST");
                match known {
                    true => request.basic_auth("ada", Some("all")),
                    false => request,
                }
            };
            let stranger = request(false).send().await.expect("an answer");
            assert_eq!(
                stranger.status(),
                StatusCode::UNAUTHORIZED,
                "{method} {}",
                route.path
            );
            let mut beside = ROUTES.iter().filter(|it| it.path == route.path);
            let is_known =
                beside.any(|it| it.method == method || (it.method, method) == ("GET", "HEAD"));
            if is_known {
                continue;
            }
            let known = request(true).send().await.expect("an answer");
            assert_eq!(
                known.status(),
                StatusCode::METHOD_NOT_ALLOWED,
                "{method} {}",
                route.path
            );
            assert_eq!(header(&known, "cache-control"), "no-store");
        }
    }
    assert_eq!(traces(&pool).await, before);
}

#[tokio::test]
async fn what_is_too_large_is_refused_and_of_a_reader_it_is_not_read() {
    let (_database, pool) = database().await;
    let site = site(&pool).await;
    let large = format!("payload={}", "x".repeat(9 << 20));
    for (name, password, expected) in [
        ("ada", "all", StatusCode::BAD_REQUEST),
        ("looker", "look", StatusCode::FORBIDDEN),
    ] {
        let request = site.client.post(format!("{}/enqueue", site.url));
        let request = request
            .basic_auth(name, Some(password))
            .header("sec-fetch-site", "same-origin")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(large.clone());
        match request.send().await {
            Ok(response) => assert_eq!(response.status(), expected),
            // The answer came while it was still sent.
            Err(error) => assert!(error.is_request() || error.is_body(), "{error:?}"),
        }
    }
}

#[tokio::test]
async fn no_text_gets_out_of_a_header() {
    let (_database, pool) = database().await;
    let site = site(&pool).await;
    for text in [
        "x\r\nset-cookie: a=b",
        "x\n\nbody",
        "\u{e9}\u{0}",
        "x%0d%0aset-cookie:%20a=b",
    ] {
        for (action, fields) in [
            (
                "pause",
                vec![("scope", "queue"), ("name", "mail"), ("back", text)],
            ),
            ("pause", vec![("scope", "queue"), ("name", text)]),
            (
                "enqueue",
                vec![
                    ("type", text),
                    ("payload", "{}"),
                    ("unchecked", "1"),
                    ("reason", text),
                ],
            ),
            ("freeze", vec![("q", text), ("verb", "retry")]),
            // What Postgres refuses is no reason to say that it does not answer.
            (
                "enqueue",
                vec![
                    ("type", "mail"),
                    ("payload", r#"{"x": "\u0000"}"#),
                    ("unchecked", "1"),
                ],
            ),
        ] {
            let response = site.form(action, &fields).send().await.expect("an answer");
            assert_eq!(header(&response, "set-cookie"), "", "{action} {text:?}");
            assert!(!response.status().is_server_error(), "{action} {text:?}");
        }
        let page = format!(
            "theme?to=dark&back={}",
            text.replace('\n', "%0a").replace('\r', "%0d")
        );
        let response = site.get(&page).send().await.expect("an answer");
        assert_eq!(response.headers().get_all("set-cookie").iter().count(), 1);
        assert!(header(&response, "location").is_ascii());
    }
}

#[tokio::test]
async fn no_path_leads_to_a_file_or_past_the_prefix() {
    let (_database, pool) = database().await;
    let site = site(&pool).await;
    let host = site
        .url
        .trim_start_matches("http://")
        .split('/')
        .next()
        .expect("a host");
    for path in [
        "/admin/tasks/../../etc/passwd",
        "/admin/tasks/..%2f..%2fetc%2fpasswd",
        "/admin/tasks/style.css",
        "/admin/tasks/assets/",
        "/admin/tasks//evil.example",
        "/admin/tasks/%2e%2e/overview",
        "//admin/tasks/overview",
    ] {
        let mut stream = TcpStream::connect(host).await.expect("connected");
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Basic YWRhOmFsbA==\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        let read = timeout(LIMIT, stream.read_to_string(&mut answer)).await;
        read.expect("in time").expect("text");
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_request_that_never_ends_is_given_up() {
    let (_database, pool) = database().await;
    let server = taskq::dashboard::server(taskq::operate(&pool));
    let bound = server.bind("127.0.0.1:0".parse().expect("an address"));
    let bound = bound.await.expect("bound");
    let address = bound.address();
    let slow = async {
        let mut stream = TcpStream::connect(address).await.expect("connected");
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n")
            .await
            .expect("sent");
        let mut answer = Vec::new();
        let ended = async {
            // A little now and then does not help.
            loop {
                let read = timeout(Duration::from_secs(1), stream.read_to_end(&mut answer));
                if read.await.is_ok() {
                    return;
                }
                if stream.write_all(b"x-a: b\r\n").await.is_err() {
                    return;
                }
            }
        };
        timeout(LIMIT, ended).await.expect("it is given up");
    };
    bound.run_until(slow).await.expect("it ends in order");
}

//! Where the pages are mounted.

use std::collections::BTreeSet;

use axum::Router;
use reqwest::StatusCode;
use taskq::dashboard::{self, Access, May, Visitor};

use super::{Site, enqueue, header, kill};
use crate::support::database;

fn links(html: &str) -> Vec<String> {
    let parts = html
        .split("href=\"")
        .skip(1)
        .chain(html.split("src=\"").skip(1));
    let links = parts.filter_map(|it| it.split('"').next());
    links
        .map(|it| it.replace("&#38;", "&").replace("&amp;", "&"))
        .collect()
}

#[tokio::test]
async fn at_any_prefix_every_link_leads_somewhere() {
    let (_database, pool) = database().await;
    let dead = enqueue(&pool, "a/b?c#d %<script>", "{}").await;
    kill(&pool, dead, "no").await;
    enqueue(&pool, "*\\ \"x\",", "{}").await;
    for prefix in ["", "/a/b", "/x"] {
        let access = Access::checked_already(Visitor::new("ada").may(May::Bulk));
        let pages = dashboard::router(taskq::operate(&pool)).access(access);
        let router = match prefix {
            "" => pages,
            _ => Router::new().nest_service(prefix, pages),
        };
        let site = Site::of(router, prefix).await;
        let roots: &[&str] = if prefix.is_empty() {
            &["/"]
        } else {
            &["", "/"]
        };
        for root in roots {
            let address = format!("{}{root}", site.url);
            let response = site.client.get(&address).send().await.expect("an answer");
            assert_eq!(response.status(), StatusCode::SEE_OTHER, "{prefix}{root}");
            let to = response
                .url()
                .join(&header(&response, "location"))
                .expect("a link");
            assert_eq!(to.path(), format!("{prefix}/overview"));
        }
        let mut seen = BTreeSet::new();
        let mut next = vec!["overview".to_owned()];
        while let Some(page) = next.pop() {
            if seen.len() > 150 || !seen.insert(page.clone()) {
                continue;
            }
            let response = site.client.get(format!("{}/{page}", site.url)).send().await;
            let response = response.expect("an answer");
            assert_eq!(response.status(), StatusCode::OK, "{prefix}: {page}");
            if !header(&response, "content-type").starts_with("text/html") {
                continue;
            }
            for link in links(&response.text().await.expect("text")) {
                assert!(
                    !link.starts_with('/') && !link.contains("//"),
                    "{page}: {link}"
                );
                if !link.starts_with('#') {
                    next.push(link);
                }
            }
        }
        assert!(seen.len() > 25, "{seen:?}");
        assert!(
            seen.iter().any(|it| it.contains("a%2Fb%3Fc%23d+%25")),
            "{seen:?}"
        );
    }
}

#[tokio::test]
async fn colours_are_remembered_below_the_prefix() {
    let (_database, pool) = database().await;
    let site = super::site(&pool).await;
    let response = site
        .get("theme?to=dark&back=tasks%3Fq%3Dstate%3Adead")
        .send()
        .await;
    let response = response.expect("an answer");
    assert_eq!(header(&response, "location"), "tasks?q=state:dead");
    let cookie = header(&response, "set-cookie");
    // Without a path it holds for the folder of the page.
    assert!(
        cookie.starts_with("taskq-theme=dark;") && !cookie.contains("Path"),
        "{cookie}"
    );
    let page = site
        .get("overview")
        .header("cookie", "a=b; taskq-theme=dark")
        .send()
        .await;
    let page = page.expect("an answer").text().await.expect("text");
    assert!(page.contains("data-theme=\"dark\""), "{page}");
    assert!(!site.page("overview").await.contains("data-theme"));
}

#[test]
fn the_browser_asks_for_every_route() {
    // It fails where it has not asked for one of these.
    let asked = include_str!("../../dashboard/routes.txt");
    let asked: BTreeSet<String> = asked.lines().map(str::to_owned).collect();
    let routes = dashboard::ROUTES.iter();
    let routes: BTreeSet<String> = routes
        .map(|it| format!("{} {}", it.method, it.path))
        .collect();
    assert_eq!(asked, routes);
}

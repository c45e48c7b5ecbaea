//! What open pages are told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::{Response, StatusCode};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use taskq::dashboard::{self, Access, May, Visitor};
use tokio::time::{sleep, timeout};

use super::{Site, enqueue};
use crate::support::{LIMIT, database};

/// A pool that counts how often somebody takes a connection of it: each statement of the pages does.
async fn counting(url: &str) -> (PgPool, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let (first, again) = (count.clone(), count.clone());
    let pool = PgPoolOptions::new()
        .max_connections(10)
        .after_connect(move |_, _| {
            first.fetch_add(1, Ordering::Relaxed);
            Box::pin(async { Ok(()) })
        })
        .before_acquire(move |_, _| {
            again.fetch_add(1, Ordering::Relaxed);
            Box::pin(async { Ok(true) })
        });
    (pool.connect(url).await.expect("a pool"), count)
}

async fn open(site: &Site, page: &str) -> Response {
    let response = site
        .client
        .get(format!("{}/events?page={page}", site.url))
        .send();
    let response = response.await.expect("an answer");
    assert_eq!(response.status(), StatusCode::OK);
    response
}

async fn site(pool: &PgPool) -> Site {
    let access = Access::checked_already(Visitor::new("ada").may(May::Bulk));
    Site::of(dashboard::router(taskq::operate(pool)).access(access), "").await
}

/// Returns the next event.
async fn event(response: &mut Response) -> String {
    let mut text = String::new();
    let read = async {
        while !text.contains("\n\n") || !text.contains("event: page") {
            let chunk = response.chunk().await.expect("a stream").expect("an event");
            text.push_str(&String::from_utf8_lossy(&chunk));
        }
    };
    timeout(LIMIT, read).await.expect("an event in time");
    text
}

#[tokio::test]
async fn fifty_viewers_cost_what_one_costs() {
    let (database, _) = database().await;
    let (pool, count) = counting(&database.url()).await;
    let site = site(&pool).await;
    let during = Duration::from_secs(7);
    let mut costs = Vec::new();
    for viewers in [1, 50] {
        let mut streams = Vec::new();
        for _ in 0..viewers {
            streams.push(open(&site, "overview").await);
        }
        let before = count.load(Ordering::Relaxed);
        sleep(during).await;
        costs.push(count.load(Ordering::Relaxed) - before);
        drop(streams);
    }
    let [one, fifty] = costs[..] else {
        unreachable!("two rounds");
    };
    // In seven seconds it looks three times, and one look is some calls.
    assert!(one >= 2 * 5, "{one}");
    assert!(fifty <= one + one / 2, "one {one}, fifty {fifty}");
    // Nobody watches any more, so nobody looks.
    sleep(Duration::from_secs(3)).await;
    let before = count.load(Ordering::Relaxed);
    sleep(Duration::from_secs(3)).await;
    assert_eq!(count.load(Ordering::Relaxed), before);
}

#[tokio::test]
async fn a_page_is_told_what_changes() {
    let (_database, pool) = database().await;
    let site = site(&pool).await;
    let mut stream = open(&site, "tasks&q=type%3Amail").await;
    let first = event(&mut stream).await;
    assert!(first.contains("No task matches"), "{first}");
    // A bare return would end a line of the stream.
    let task_id = enqueue(&pool, "mail", "{}").await;
    super::kill(&pool, task_id, "a\rb\ndata: x\r\n\r\nevent: y").await;
    let second = event(&mut stream).await;
    assert!(
        second.contains(&format!("data-id=\"{task_id}\"")),
        "{second}"
    );
    assert!(
        !second.contains("\nevent: y") && !second.contains("<main"),
        "{second}"
    );
}

#[tokio::test]
async fn too_many_different_pages_are_not_watched() {
    let (_database, pool) = database().await;
    let site = site(&pool).await;
    let mut streams = Vec::new();
    for id in 0..32 {
        streams.push(open(&site, &format!("task&id={id}")).await);
    }
    let request = site
        .client
        .get(format!("{}/events?page=task&id=99", site.url));
    let refused = request.send().await.expect("an answer");
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    // Whoever watches what is watched is welcome.
    open(&site, "task&id=0").await;
}

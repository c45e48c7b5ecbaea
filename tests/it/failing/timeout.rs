//! How long an attempt may take, where the payload decides.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sqlx::query_as;
use taskq::{Attempt, task};

use crate::support::{Log, database, execute, one, until, while_working, worker};

type Runs = AtomicUsize;

fn by_pages(payload: &Render) -> Duration {
    match payload.pages {
        0 => Duration::ZERO,
        1 => Duration::from_millis(100),
        2 => Duration::MAX,
        _ => panic!("too many pages"),
    }
}

#[task(max_attempts = 1, timeout = by_pages)]
async fn render(runs: &Runs, attempt: &Attempt, pages: u32, ends_at_once: bool) {
    runs.fetch_add(1, Ordering::SeqCst);
    if pages == 2 {
        let far = Instant::now() + Duration::from_secs(99 * 366 * 24 * 60 * 60);
        assert!(attempt.deadline() > far);
    }
    if !ends_at_once {
        std::future::pending().await
    }
}

#[tokio::test]
async fn the_payload_decides_how_long_an_attempt_may_take() {
    let log = Log::capture();
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    for (pages, ends_at_once) in [
        (0, false),
        (0, true),
        (1, false),
        (1, true),
        (2, true),
        (3, true),
    ] {
        let task = Render::enqueue(&mut db, pages, ends_at_once);
        task.await.expect("enqueued");
    }
    execute(
        &pool,
        "insert into taskq.task (task_type, payload) values ('render', '{\"pages\": \"many\", \"ends_at_once\": true}')",
    )
    .await;
    let runs = Arc::new(Runs::default());
    let work = worker(&pool)
        .only::<(Render,)>()
        .state_arc(Arc::clone(&runs));
    while_working(work, async {
        let left = "select exists (select from taskq.tasks where state in ('waiting', 'running'))";
        until("all have ended", async || !one::<bool>(&pool, left).await).await;
    })
    .await;
    let rows: Vec<(String, String, String)> = query_as(
        "select payload ->> 'pages', state, errors -> 0 ->> 'error' from taskq.dead order by task_id",
    )
    .fetch_all(&pool)
    .await
    .expect("rows");
    let [at_once, slow, too_many, invalid] = <[_; 4]>::try_from(rows).expect("four");
    assert_eq!(
        (&*at_once.0, &*at_once.1, &*at_once.2),
        ("0", "discarded", "timed out after 0ns")
    );
    assert_eq!(
        (&*slow.0, &*slow.1, &*slow.2),
        ("1", "discarded", "timed out after 100ms")
    );
    assert_eq!((&*too_many.0, &*too_many.1), ("3", "discarded"));
    assert!(
        too_many
            .2
            .starts_with("the function of `timeout` panicked at ")
            && too_many.2.ends_with("too many pages"),
        "{}",
        too_many.2
    );
    assert_eq!((&*invalid.0, &*invalid.1), ("many", "invalid"));
    assert_eq!(
        runs.load(Ordering::SeqCst),
        5,
        "neither the one whose function panicked nor the invalid one ran"
    );
    assert_eq!(log.text().matches("too many pages").count(), 1);
}

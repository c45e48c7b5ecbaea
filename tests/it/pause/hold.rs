//! What holds while something is paused, and what goes on.

use std::time::Duration;

use taskq::operate::{Queue, TaskType};
use taskq::testing::Cluster;
use tokio::time::{Instant, sleep};

use super::{Send, enqueue_by_sql, mailer, mailer_of, pause, resume, stage, started};
use crate::support::{Log, drain, execute, one, states, until, while_working};

#[tokio::test]
async fn a_queue_is_paused_before_anybody_has_seen_it_and_across_restarts() {
    let (_database, pool) = stage().await;
    pause(&pool, Queue("mail")).await;
    enqueue_by_sql(&pool, "send", "mail", 3).await;
    for _ in 0..2 {
        let log = Log::capture();
        while_working(mailer(&pool), async {
            until("heard", async || log.has("queue mail paused since")).await;
            sleep(Duration::from_millis(500)).await;
        })
        .await;
        let text = log.text();
        assert_eq!(text.matches("nothing more starts").count(), 1, "{text}");
        assert!(text.contains("by ada: SMTP is down"), "{text}");
    }
    // As if it had been paused more than a day ago.
    execute(
        &pool,
        "update taskq.pause set since = now() - interval '25 hours'",
    )
    .await;
    while_working(mailer(&pool), sleep(Duration::from_millis(500))).await;
    assert_eq!(started(&pool).await, 0);
    resume(&pool, Queue("mail")).await;
    drain(mailer(&pool), &pool).await;
    assert_eq!(started(&pool).await, 3);
}

#[tokio::test]
async fn a_pause_survives_a_crash_of_postgres() {
    let cluster = Cluster::private().await.expect("a server");
    let pool = cluster.pool("postgres", 20).await.expect("a pool");
    taskq::migrate(&pool).await.expect("migrated");
    let start = "create table start (task_type text not null, at timestamptz not null)";
    execute(&pool, start).await;
    while_working(mailer(&pool), async {
        pause(&pool, Queue("mail")).await;
        // The server of tests writes its log late.
        execute(&pool, "checkpoint").await;
        cluster.kill().await.expect("killed");
        cluster.restart().await.expect("restarted");
        until("enqueued", async || {
            let insert = "insert into taskq.task (task_type, queue) values ('send', 'mail')";
            sqlx::query(insert).execute(&pool).await.is_ok()
        })
        .await;
        sleep(Duration::from_secs(2)).await;
        assert_eq!(started(&pool).await, 0, "paused");
        resume(&pool, Queue("mail")).await;
        until("started", async || started(&pool).await == 1).await;
    })
    .await;
}

#[tokio::test]
async fn nothing_starts_in_any_worker_after_the_pause_and_what_was_prefetched_waits_uncharged() {
    let (_database, pool) = stage().await;
    // Many fast ones, so that much is prefetched, and behind them slow ones, which are paused.
    let (fast, slow) = (4_000, 2_000);
    for (count, milliseconds, priority) in [(fast, 1, 0), (slow, 600, 1)] {
        sqlx::query(
            "insert into taskq.task (task_type, queue, payload, priority)
             select 'deliver', 'mail', jsonb_build_object('milliseconds', $1::int), $2
             from generate_series(1, $3)",
        )
        .bind(milliseconds)
        .bind(priority)
        .bind(count)
        .execute(&pool)
        .await
        .expect("enqueued");
    }
    let running = "select count(*) from taskq.tasks where state = 'running'";
    let paused = "select count(*) from taskq.pause";
    let second = while_working(mailer(&pool), async {
        until("paused", async || one::<i64>(&pool, paused).await == 1).await;
        sleep(Duration::from_secs(4)).await;
    });
    let first = while_working(mailer(&pool), async {
        until("both are slow", async || started(&pool).await >= 4_008).await;
        let prefetched: i64 = one(&pool, running).await;
        assert!(prefetched > 20, "{prefetched} are claimed");
        pause(&pool, Queue("mail")).await;
        until("over", async || one::<i64>(&pool, running).await == 0).await;
        sleep(Duration::from_secs(2)).await;
    });
    tokio::join!(first, second);
    // What is asked of a worker is a second. It takes milliseconds, and a slow one would start after 600.
    let late: Option<f64> = one(
        &pool,
        "select extract(epoch from max(at) - (select since from taskq.pause))::float8 from start",
    )
    .await;
    assert!(late.is_some_and(|late| late < 0.4), "started {late:?} late");
    let charged: i64 = one(
        &pool,
        "select count(*) from taskq.task where attempts > 0 or crashes > 0 or errors is not null",
    )
    .await;
    assert_eq!(charged, 0);
    let (waiting, started) = (states(&pool).await["waiting"], started(&pool).await);
    assert_eq!(waiting + started, 6_000, "each runs, or waits as before");
}

#[tokio::test]
async fn a_running_handler_goes_on_and_others_wait_behind_it() {
    let (_database, pool) = stage().await;
    sqlx::query("insert into taskq.task (task_type, queue, payload) values ('deliver', 'mail', '{\"milliseconds\": 2000}')")
        .execute(&pool)
        .await
        .expect("enqueued");
    while_working(mailer_of(&pool, 1).keep_completed(true), async {
        until("runs", async || started(&pool).await == 1).await;
        enqueue_by_sql(&pool, "deliver", "mail", 5).await;
        pause(&pool, Queue("mail")).await;
        until("completed", async || {
            states(&pool).await.get("completed") == Some(&1)
        })
        .await;
        sleep(Duration::from_millis(500)).await;
        assert_eq!(states(&pool).await["waiting"], 5);
    })
    .await;
    assert_eq!(started(&pool).await, 1);
}

#[tokio::test]
async fn a_type_is_paused_in_all_queues_and_others_of_them_go_on() {
    let (_database, pool) = stage().await;
    while_working(mailer(&pool), async {
        pause(&pool, TaskType("send")).await;
        for queue in ["mail", "other"] {
            enqueue_by_sql(&pool, "send", queue, 2).await;
            enqueue_by_sql(&pool, "print", queue, 2).await;
        }
        until("printed", async || started(&pool).await == 4).await;
        sleep(Duration::from_millis(500)).await;
        let sent = "select count(*) from start where task_type = 'send'";
        assert_eq!(one::<i64>(&pool, sent).await, 0);
        // Neither may be paused.
        pause(&pool, Queue("other")).await;
        resume(&pool, TaskType("send")).await;
        until("sent", async || one::<i64>(&pool, sent).await == 2).await;
        sleep(Duration::from_millis(500)).await;
        assert_eq!(one::<i64>(&pool, sent).await, 2);
        resume(&pool, Queue("other")).await;
        until("sent", async || one::<i64>(&pool, sent).await == 4).await;
    })
    .await;
}

#[tokio::test]
async fn delays_ripen_and_enqueues_are_accepted_meanwhile() {
    let (_database, pool) = stage().await;
    while_working(mailer(&pool), async {
        pause(&pool, Queue("mail")).await;
        let mut db = pool.acquire().await.expect("a connection");
        taskq::enqueue(&mut db, Send {})
            .delay(Duration::from_secs(1))
            .await
            .expect("enqueued");
        drop(db);
        sleep(Duration::from_secs(2)).await;
        assert_eq!(started(&pool).await, 0);
        let resumed = Instant::now();
        resume(&pool, Queue("mail")).await;
        until("started", async || started(&pool).await == 1).await;
        assert!(resumed.elapsed() < Duration::from_secs(5));
    })
    .await;
}

#[tokio::test]
async fn what_was_paused_in_the_middle_runs_completely_and_once() {
    let (_database, pool) = stage().await;
    enqueue_by_sql(&pool, "deliver", "mail", 3_000).await;
    while_working(mailer_of(&pool, 20), async {
        for _ in 0..5 {
            let before = started(&pool).await;
            until("works", async || started(&pool).await > before + 50).await;
            pause(&pool, Queue("mail")).await;
            sleep(Duration::from_millis(100)).await;
            resume(&pool, Queue("mail")).await;
        }
        until("done", async || states(&pool).await.is_empty()).await;
    })
    .await;
    assert_eq!(started(&pool).await, 3_000, "each once");
}

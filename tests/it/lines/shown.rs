//! Where lines are seen: the command line, its JSON, the page; and that worker, `drain` and inline keep the same.

use sqlx::PgPool;
use taskq::dashboard;
use taskq::testing::{self, tx};
use taskq::{Attempt, LogLayer, WorkerBuilder, task};

use super::{keep, logs, told_to_go};
use crate::cli::said;
use crate::cli_top::in_a_terminal;
use crate::support::{database, drain, execute, states, until, while_working, worker};

#[task(max_attempts = 2, retry = "fixed(1ms)")]
async fn send(attempt: &Attempt, usr_id: i64) -> Result<(), String> {
    tracing::info!(usr_id, "sending <b>mail</b>\x1b[31m");
    if attempt.is_last() {
        for n in 0..130 {
            tracing::warn!("again {n}");
        }
        tracing::error!("given up");
    }
    Err("no luck".into())
}

fn all(pool: &PgPool) -> WorkerBuilder {
    worker(pool).only::<(Send,)>()
}

#[tokio::test]
async fn the_command_line_and_the_page_show_the_lines_of_each_attempt() {
    let (database, pool) = database().await;
    let _guard = keep(LogLayer::new());
    let mut db = pool.acquire().await.expect("a connection");
    let task = Send::enqueue(&mut db, 7).await.expect("enqueued");
    drain(all(&pool), &pool).await;
    let id = task.task_id.to_string();

    let (out, _, code) = said(&database, &["show", &id]).await;
    assert_eq!(code, Some(0));
    assert!(
        out.contains(&format!("log        133 lines: show {id} --log")),
        "{out}"
    );
    assert!(!out.contains("given up"), "{out}");
    let (out, _, _) = said(&database, &["show", &id, "--log"]).await;
    let (first, second) = out.split_once("log of attempt 2").expect("both");
    assert!(first.contains("log of attempt 1, from "), "{first}");
    assert!(
        first.contains("Z  INFO it::lines::shown: sending <b>mail</b> [31m usr_id=7\n"),
        "{first}"
    );
    assert_eq!(
        second.matches("  WARN it::lines::shown: again ").count(),
        130
    );
    assert!(
        second.ends_with("Z ERROR it::lines::shown: given up\n"),
        "{second}"
    );
    let (out, _, _) = said(&database, &["show", &id, "--json", "--log"]).await;
    let json: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(json["log_lines"], 133);
    assert_eq!(json["log"][0]["lines"][0]["fields"]["usr_id"], 7);
    assert_eq!(json["log"][1]["lines"][131]["level"], "ERROR");

    let pages = dashboard::router(taskq::operate(&pool)).only::<(Send,)>();
    let names = [format!("task?id={id}"), format!("task?id={id}&all=1")];
    let shown = crate::dashboard::shown(pages, &names).await;
    let page = &shown[0];
    assert!(
        page.contains("Attempt 2 <span class=\"note\">132 lines, from"),
        "{page}"
    );
    assert!(page.contains("Show 32 earlier lines"), "{page}");
    assert!(page.contains("sending &#60;b&#62;mail"), "{page}");
    assert!(
        !page.contains("again 10<") && page.contains("again 129"),
        "{page}"
    );
    assert!(shown[1].contains("again 0"), "{}", shown[1]);
}

#[task]
async fn goes_on(pool: &PgPool) -> sqlx::Result<()> {
    for n in 0..150 {
        tracing::info!("step {n}");
    }
    tracing::info!("a picture:\n  /\\_/\\\n");
    told_to_go(pool).await
}

#[tokio::test]
async fn the_newest_lines_of_a_running_task_are_read_in_top_and_those_of_one_message_stay_lines() {
    let (database, pool) = database().await;
    let _guard = keep(LogLayer::new());
    let mut db = pool.acquire().await.expect("a connection");
    let task = GoesOn::enqueue(&mut db).await.expect("enqueued");
    let worker = worker(&pool).state(pool.clone()).only::<(GoesOn,)>();
    while_working(worker, async {
        until("logged", async || {
            let logs = logs(&pool, task.task_id).await;
            logs.first().is_some_and(|log| log.kept == 151)
        })
        .await;
        let (out, _, _) = said(&database, &["show", &task.task_id.to_string(), "--log"]).await;
        assert!(out.contains("Z  INFO it::lines::shown: step 0\n"), "{out}");
        assert!(
            out.ends_with("Z  INFO it::lines::shown: a picture:\n        /\\_/\\\n"),
            "{out}"
        );
        let more = format!("… 51 more: show {} --log", task.task_id);
        let steps = [
            "goes_on",
            "2",
            "WORKER",
            "\\r",
            &more,
            &" ".repeat(12),
            "shown: step 149",
            "q",
            "WORKER",
            "q",
        ];
        in_a_terminal(&database, "top", &steps).await;
        execute(&pool, "create table go ()").await;
    })
    .await;
}

#[tokio::test]
async fn a_task_without_lines_shows_none_and_says_how_they_come() {
    let (database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let task = Send::enqueue(&mut db, 7).await.expect("enqueued");
    drain(all(&pool), &pool).await;
    let id = task.task_id.to_string();
    let (out, _, _) = said(&database, &["show", &id]).await;
    assert!(!out.contains("\nlog "), "{out}");
    let (out, _, _) = said(&database, &["show", &id, "--log"]).await;
    assert!(
        out.contains("no log lines are kept: the worker's program adds `taskq::LogLayer`"),
        "{out}"
    );
    assert!(logs(&pool, task.task_id).await.is_empty());
    assert!(logs(&pool, 1_000_000).await.is_empty());
}

/// The lines of each attempt at the one task.
async fn lines(db: &mut sqlx::PgConnection) -> Vec<(i32, Vec<String>)> {
    let rows: Vec<(i32, serde_json::Value)> = sqlx::query_as(
        "select attempt, lines from taskq.attempt_log join taskq.log_chunk using (log_id) order by attempt, chunk",
    )
    .fetch_all(db)
    .await
    .expect("read");
    let text = |line: &serde_json::Value| line["message"].as_str().unwrap_or_default().to_owned();
    let lines = rows.into_iter().map(|(attempt, lines)| {
        let lines = lines.as_array().map(|it| it.iter().map(text).collect());
        (attempt, lines.unwrap_or_default())
    });
    lines.collect()
}

#[tokio::test]
async fn drain_and_inline_keep_the_lines_that_a_worker_keeps() {
    let _guard = keep(LogLayer::new());
    let mut each = Vec::new();
    for way in ["worker", "drain", "inline"] {
        let (_database, pool) = database().await;
        if way == "inline" {
            let mut db = tx(&pool).await.expect("begun");
            let task = Send::enqueue(&mut db, 7).max_attempts(1);
            task.await.expect("enqueued");
            let drained = testing::drain(all(&pool)).in_tx(&mut db).allow_failures();
            drained.await.expect("it drains");
            each.push(lines(&mut db).await);
            drop(db);
            assert!(states(&pool).await.is_empty());
            let mut after = pool.acquire().await.expect("a connection");
            assert!(lines(&mut after).await.is_empty());
            continue;
        }
        let mut db = pool.acquire().await.expect("a connection");
        let task = Send::enqueue(&mut db, 7).max_attempts(1);
        task.await.expect("enqueued");
        match way {
            "worker" => drain(all(&pool), &pool).await,
            _ => drop(
                testing::drain(all(&pool))
                    .allow_failures()
                    .await
                    .expect("it drains"),
            ),
        }
        each.push(lines(&mut db).await);
    }
    assert_eq!(each[0].len(), 1, "{each:?}");
    assert_eq!(each[0][0].1.last().map(String::as_str), Some("given up"));
    assert_eq!(each[0], each[1]);
    assert_eq!(each[0], each[2]);
}

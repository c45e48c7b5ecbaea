//! Three processes: one enqueues, one works, one waits, and the one that waits is killed and starts anew.

use std::process::Stdio;
use std::time::Duration;

use sqlx::PgPool;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::support::{LIMIT, database, one};

struct Waiter {
    child: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Waiter {
    async fn start(url: &str, task_ids: &[i64]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_waiter"))
            .args(task_ids.iter().map(i64::to_string))
            .env("DATABASE_URL", url)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the waiter starts");
        let said = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut waiter = Self { child, said };
        assert_eq!(waiter.says().await.as_deref(), Some("waiting"));
        waiter
    }

    async fn says(&mut self) -> Option<String> {
        let line = timeout(LIMIT, self.said.next_line()).await;
        line.expect("in time").expect("readable")
    }

    async fn says_all(mut self) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(line) = self.says().await {
            all.push(line);
        }
        assert!(self.child.wait().await.expect("it ends").success());
        all.sort();
        all
    }
}

async fn enqueue(pool: &PgPool, bytes: u32, takes: Duration) -> i64 {
    sqlx::query_scalar(
        "select task_id from taskq.enqueue('answer', jsonb_build_object('bytes', $1, 'takes_ms', $2))",
    )
    .bind(i64::from(bytes))
    .bind(i64::try_from(takes.as_millis()).expect("short"))
    .fetch_one(pool)
    .await
    .expect("enqueued")
}

#[tokio::test]
async fn a_process_that_waits_is_told_also_after_a_restart() {
    let (database, pool) = database().await;
    let quick = enqueue(&pool, 5, Duration::ZERO).await;
    let slow = enqueue(&pool, 1_000_000, Duration::from_secs(3)).await;
    let never: i64 = one(
        &pool,
        "select nextval(pg_get_serial_sequence('taskq.task', 'task_id'))",
    )
    .await;
    let mut first = Waiter::start(&database.url(), &[quick, slow]).await;
    let mut worker = Command::new(env!("CARGO_BIN_EXE_worker"))
        .env("DATABASE_URL", database.url())
        .env("GRACE_MS", "1000")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the worker starts");
    let told = first.says().await;
    assert_eq!(told, Some(format!("{quick}: 5 bytes")));
    first.child.kill().await.expect("killed");

    let second = Waiter::start(&database.url(), &[quick, slow, never]).await;
    let mut expected = [
        format!("{quick}: 5 bytes"),
        format!("{slow}: 1000000 bytes"),
        format!(
            "{never}: there is no such task: its enqueue has not committed, or its time in the history is over"
        ),
    ];
    expected.sort();
    assert_eq!(second.says_all().await, expected);
    worker.kill().await.expect("killed");
}

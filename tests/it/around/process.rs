//! A process dies between an outcome and what is told of it.

use std::process::{Child, Command, Stdio};

use sqlx::PgPool;

use crate::support::{database, execute, one, states, until};

/// A worker process, killed with the test if it is still there.
struct Process(Child);

impl Process {
    fn start(url: &str, crash_at: Option<&str>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hooked"));
        command
            .env("DATABASE_URL", url)
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        if let Some(point) = crash_at {
            command.env("TASKQ_CRASH_AT", point);
        }
        Self(command.spawn().expect("the worker starts"))
    }

    async fn dies(&mut self) {
        until("it has died", async || {
            self.0.try_wait().expect("a child").is_some()
        })
        .await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How many effects there are with a completion, and after one.
async fn effects(pool: &PgPool) -> (i64, i64) {
    (
        one(pool, "select count(*) from effect").await,
        one(pool, "select count(*) from told").await,
    )
}

/// Has a worker die at a crash point, and another one go on. Returns the effects at the death, and at the end.
async fn die(task_type: &str, crash_at: &str) -> ((i64, i64), (i64, i64)) {
    let (database, pool) = database().await;
    execute(
        &pool,
        "create table effect (n bigint); create table told (n bigint)",
    )
    .await;
    let insert = sqlx::query("insert into taskq.task (task_type) values ($1)");
    insert
        .bind(task_type)
        .execute(&pool)
        .await
        .expect("enqueued");
    let mut first = Process::start(&database.url(), Some(crash_at));
    first.dies().await;
    let at_death = effects(&pool).await;
    let was_written = states(&pool).await.is_empty();
    let _second = Process::start(&database.url(), None);
    until("completed", async || states(&pool).await.is_empty()).await;
    if !was_written {
        until("told", async || effects(&pool).await.1 > 0).await;
    }
    (at_death, effects(&pool).await)
}

#[tokio::test]
async fn what_a_hook_writes_in_the_transaction_is_there_exactly_with_the_completion() {
    let (hooked, in_tx) = tokio::join!(
        die("hooked", "after_settle"),
        die("hooked_in_tx", "before_commit")
    );
    assert_eq!(hooked, ((0, 0), (1, 1)), "nothing was committed");
    assert_eq!(in_tx, ((0, 0), (1, 1)), "nothing was committed");
}

#[tokio::test]
async fn what_a_hook_does_afterwards_is_done_at_most_once() {
    let (hooked, in_tx, told) = tokio::join!(
        die("hooked", "after_commit"),
        die("hooked_in_tx", "after_commit"),
        die("told", "after_complete")
    );
    assert_eq!(
        hooked,
        ((1, 0), (1, 0)),
        "it was committed, and nobody was told"
    );
    assert_eq!(
        in_tx,
        ((1, 0), (1, 0)),
        "it was committed, and nobody was told"
    );
    assert_eq!(
        told,
        ((0, 0), (0, 0)),
        "it was committed, and nobody was told"
    );
}

//! Many tasks, several that prune, and one that dies over it.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sqlx::PgPool;
use taskq::task;

use super::{ended, left, of, pruned};
use crate::support::{database, execute, one, until, while_working, worker};

#[task]
async fn goes_on() {}

/// A worker in a process of its own, killed with the test.
struct Process(Child);

impl Process {
    fn start(url: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
        command.env("DATABASE_URL", url).env("GRACE_MS", "1000");
        command.stdin(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().expect("the worker starts"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn still(pool: &PgPool) -> i64 {
    one(
        pool,
        "select (select count(*) from taskq.dead) + (select count(*) from taskq.history)",
    )
    .await
}

#[tokio::test]
async fn a_process_that_is_killed_as_it_prunes_leaves_the_rest_to_others() {
    let (database, pool) = database().await;
    ended(&pool, "many", "discarded", "3 days", 40_000).await;
    ended(&pool, "many", "completed", "3 days", 40_000).await;
    // Of a day that is over, at whatever hour: these too are moved to its partition while others are deleted.
    ended(&pool, "many", "discarded", "25 hours", 5).await;
    ended(&pool, "many", "completed", "25 hours", 5).await;
    execute(
        &pool,
        "select taskq.keep('many', 'discarded', '2d'), taskq.keep('many', 'completed', '2d'),
             taskq.keep('others', 'completed', '30d')",
    )
    .await;
    let mut first = Process::start(&database.url());
    until("it has begun", async || still(&pool).await < 80_000).await;
    first.0.kill().expect("killed");
    first.0.wait().expect("it has ended");
    let after_kill = still(&pool).await;
    assert!(
        after_kill > 10_010,
        "it was killed in the middle: {after_kill}"
    );
    // At one moment: what it said last may still be under way.
    let both = "select (select count(*) from taskq.dead) + (select count(*) from taskq.history)
             + (select coalesce(sum(total), 0) from taskq.pruned)::bigint";
    assert_eq!(
        one::<i64>(&pool, both).await,
        80_010,
        "what was deleted is counted, and nothing else"
    );
    let _second = Process::start(&database.url());
    let _third = Process::start(&database.url());
    until("the rest is gone", async || still(&pool).await == 10).await;
    let kept = of([("many", "discarded", 5), ("many", "completed", 5)]);
    assert_eq!(left(&pool).await, kept);
    let gone = of([("many", "discarded", 40_000), ("many", "completed", 40_000)]);
    assert_eq!(pruned(&pool).await, gone);
}

#[tokio::test]
async fn two_that_prune_at_once_delete_each_task_once() {
    let (_database, pool) = database().await;
    ended(&pool, "many", "discarded", "3 days", 20_000).await;
    ended(&pool, "many", "completed", "3 days", 20_000).await;
    execute(
        &pool,
        "select taskq.keep('many', 'discarded', '1d'), taskq.keep('many', 'completed', '1d'),
             taskq.keep('others', 'completed', '30d')",
    )
    .await;
    let operator = taskq::operate(&pool);
    let told = operator.prunable().await.expect("told");
    let told: Vec<_> = told
        .iter()
        .map(|it| (&*it.outcome, it.tasks, it.seconds))
        .collect();
    assert_eq!(
        told,
        [
            ("completed", 20_000, 86_400.0),
            ("discarded", 20_000, 86_400.0)
        ]
    );
    let mut both = 0;
    // What one is deleting the other leaves to it.
    while still(&pool).await > 0 {
        let (one, other) = tokio::join!(operator.prune(), operator.prune());
        both += one.expect("pruned") + other.expect("pruned");
    }
    assert_eq!(both, 40_000);
    let gone = of([("many", "discarded", 20_000), ("many", "completed", 20_000)]);
    assert_eq!(pruned(&pool).await, gone);
    assert!(operator.prunable().await.expect("told").is_empty());
}

/// The locks of whoever prunes stay for as long as its transaction: claims and completions pass beside them.
#[tokio::test]
async fn tasks_are_claimed_and_completed_while_somebody_prunes() {
    let (_database, pool) = database().await;
    ended(&pool, "many", "discarded", "3 days", 100).await;
    ended(&pool, "many", "completed", "3 days", 100).await;
    execute(
        &pool,
        "select taskq.keep('many', 'discarded', '1d'), taskq.keep('many', 'completed', '1d'),
             taskq.keep('others', 'completed', '30d')",
    )
    .await;
    let mut pruning = pool.begin().await.expect("a transaction");
    let (count, _): (i64, bool) =
        sqlx::query_as("select pruned, is_more from taskq.prune_kept(5000)")
            .fetch_one(&mut *pruning)
            .await
            .expect("pruned");
    assert_eq!(count, 200);
    let enqueued = execute(
        &pool,
        "insert into taskq.task (task_type) select 'goes_on' from generate_series(1, 50)",
    );
    tokio::time::timeout(Duration::from_secs(10), enqueued)
        .await
        .expect("who enqueues does not wait for whoever prunes");
    let keeps = worker(&pool).only::<(GoesOn,)>().keep_completed(true);
    while_working(keeps, async {
        let done = until("all are completed", async || {
            one::<i64>(
                &pool,
                "select count(*) from taskq.history where task_type = 'goes_on'",
            )
            .await
                == 50
        });
        tokio::time::timeout(Duration::from_secs(10), done)
            .await
            .expect("nobody waits for whoever prunes");
    })
    .await;
    pruning.commit().await.expect("committed");
    assert_eq!(left(&pool).await, of([("goes_on", "completed", 50)]));
}

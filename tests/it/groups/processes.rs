//! Workers that are killed while the members of a group end.

use std::process::Stdio;
use std::time::Duration;

use sqlx::{PgPool, query_scalar};
use taskq::{Group, NewTask, task};
use tokio::process::{Child, Command};
use tokio::time::sleep;

use super::{Finish, Kept, finish_as, told, told_database};
use crate::support::{drain, effects, one, until, worker};

/// The payloads of those that the other program runs.
#[task]
async fn record(n: i64, takes_ms: u64) {
    let _ = (n, takes_ms);
}

#[task]
async fn record_once(n: i64, takes_ms: u64) {
    let _ = (n, takes_ms);
}

fn start(url: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_worker"))
        .env("DATABASE_URL", url)
        .env("GRACE_MS", "1000")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the worker starts")
}

async fn begin(pool: &PgPool, name: &str, members: i64) -> Group {
    let mut tx = pool.begin().await.expect("begun");
    let group = Group::begin(&mut tx, finish_as(name)).await.expect("begun");
    for n in 0..members {
        match n % 2 {
            0 => {
                _ = Record::enqueue(&mut tx, n, 20)
                    .group(group)
                    .await
                    .expect("added")
            }
            _ => {
                _ = RecordOnce::enqueue(&mut tx, n, 20)
                    .group(group)
                    .await
                    .expect("added")
            }
        }
    }
    group.seal(&mut tx).await.expect("sealed");
    tx.commit().await.expect("committed");
    group
}

#[tokio::test]
async fn workers_that_are_killed_again_and_again_lose_no_end_and_count_none_twice() {
    let (database, pool) = told_database().await;
    effects(&pool).await;
    let group = begin(&pool, "killed", 60).await;
    let mut killed = 0;
    let ended = "select count(*) from taskq.task_group where ended_at is not null";
    while one::<i64>(&pool, ended).await == 0 {
        let mut workers = [start(&database.url()), start(&database.url())];
        sleep(Duration::from_millis(400 + 300 * (killed % 3))).await;
        for worker in &mut workers {
            worker.kill().await.expect("killed");
        }
        killed += 1;
        assert!(
            killed < 60,
            "{:?}",
            taskq::operate(&pool).group(group.group_id()).await
        );
    }
    let enqueued = "select count(*) from taskq.task where task_type = 'finish'";
    assert_eq!(one::<i64>(&pool, enqueued).await, 1);
    drain(worker(&pool).only::<(Finish,)>(), &pool).await;
    let told = told(&pool).await;
    let [told] = told.as_slice() else {
        panic!("{told:?}");
    };
    let counts: Vec<i64> = told.split(' ').filter_map(|it| it.parse().ok()).collect();
    // Some may have been quarantined.
    assert_eq!(counts[0], 60, "{told}");
    assert_eq!(counts[1..].iter().sum::<i64>(), 60, "{told}");
    let status = taskq::operate(&pool).group(group.group_id()).await;
    let status = status.expect("read").expect("there");
    let outcomes: i64 =
        query_scalar("select count(*) from taskq.group_member where outcome is not null")
            .fetch_one(&pool)
            .await
            .expect("counted");
    assert_eq!((status.members, outcomes), (60, 60));
}

/// The worker that runs the group's task is killed: it runs again, and is there once.
#[tokio::test]
async fn two_processes_share_the_members_and_one_of_them_runs_the_task() {
    let (database, pool) = told_database().await;
    effects(&pool).await;
    let mut tx = pool.begin().await.expect("begun");
    let answer = NewTask::of(Kept { n: 1 }).delay(Duration::from_secs(3_600));
    let group = Group::begin(&mut tx, answer).await.expect("begun");
    for n in 0..64 {
        Record::enqueue(&mut tx, n, 0)
            .group(group)
            .await
            .expect("added");
    }
    group.seal(&mut tx).await.expect("sealed");
    tx.commit().await.expect("committed");
    let workers = [start(&database.url()), start(&database.url())];
    until("it has ended", async || {
        one::<i64>(
            &pool,
            "select count(*) from taskq.task where task_type = 'kept'",
        )
        .await
            == 1
    })
    .await;
    drop(workers);
    let status = taskq::operate(&pool).group(group.group_id()).await;
    let status = status.expect("read").expect("there");
    assert_eq!((status.completed, status.remaining), (64, 0));
    assert_eq!(status.state(), "ended");
}

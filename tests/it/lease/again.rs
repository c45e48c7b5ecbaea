//! A task that has left one lease, whose other tasks still run, and runs again in another.

use std::sync::Arc;

use taskq::unique::Unique;
use taskq::{Attempt, EnqueueOutcome, Group, NewTask, task};
use tokio::sync::Semaphore;

use crate::support::{database, one, until, while_working, worker};

#[task(retry = "fixed(1ms)")]
async fn comes_again(attempt: &Attempt, gate: &Semaphore, n: i64) -> Result<(), &'static str> {
    if n == 0 && attempt.number() == 1 {
        return Err("not yet");
    }
    gate.acquire().await.expect("open").forget();
    Ok(())
}

#[task]
async fn all_came(attempt: &Attempt) {
    let ended = attempt.group_ended().expect("the task of a group");
    assert!(ended.all_completed(), "{ended:?}");
}

#[tokio::test]
async fn whoever_looks_for_tasks_that_are_nowhere_finds_one_that_has_left_another_lease() {
    let (_database, pool) = database().await;
    let mut tx = pool.begin().await.expect("begun");
    let group = Group::begin(&mut tx, AllCame {}).await.expect("begun");
    for n in 0..2 {
        let member = NewTask::of(ComesAgain { n }).unique(Unique::new());
        let mut many = taskq::Many::new();
        many.push(member.group(group));
        many.enqueue(&mut tx).await.expect("enqueued");
    }
    group.seal(&mut tx).await.expect("sealed");
    tx.commit().await.expect("committed");
    let gate = Arc::new(Semaphore::new(0));
    let worker = worker(&pool)
        .only::<(ComesAgain, AllCame)>()
        .state_arc(gate.clone());
    let test = async {
        until("it runs again", async || {
            let both = "select count(*)
                 from taskq.lease as first
                 join taskq.lease as second
                   on second.lease_id <> first.lease_id
                  and second.task_ids && first.done";
            one::<i64>(&pool, both).await == 1
        })
        .await;
        let gone = "select gone from taskq.tend_groups(20, 100)";
        assert_eq!(one::<i64>(&pool, gone).await, 0, "it is a member still");
        let pruned = "select taskq.prune_keys(100)";
        assert_eq!(one::<i64>(&pool, pruned).await, 0, "it has its key still");
        let mut db = pool.acquire().await.expect("a connection");
        let again = taskq::enqueue(&mut db, ComesAgain { n: 0 });
        let again = again.unique(Unique::new()).await.expect("enqueued");
        assert_eq!(again.outcome, EnqueueOutcome::Existing);
        gate.add_permits(2);
        until("the group has ended", async || {
            one::<i64>(&pool, "select count(*) from taskq.tasks").await == 0
        })
        .await;
    };
    while_working(worker, test).await;
    let counts: Vec<i64> = one(
        &pool,
        "select array[members, completed, deleted] from taskq.task_group",
    )
    .await;
    assert_eq!(counts, [2, 2, 0]);
}

//! Ids that come again, as after a restore: the neighbours go on, and nobody finds another task's result.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use taskq::{ResultError, TaskResult};

use crate::refused::{Kept, count_of};
use crate::support::{Log, database, execute, leave_behind, one, until, while_working, worker};

#[tokio::test]
async fn ids_that_come_again_stop_nobody_and_find_no_other_result() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let task = Kept::enqueue(&mut db, 7).await.expect("enqueued");
    let runs = Arc::new(Mutex::<Vec<i64>>::default());
    let work = || {
        worker(&pool)
            .only::<(Kept,)>()
            .state_arc(Arc::clone(&runs))
            .lease(Duration::from_millis(500))
    };
    while_working(work(), async {
        until("kept", async || {
            count_of(&pool, "state = 'completed'").await == 1
        })
        .await;
    })
    .await;
    // As after a restore: the sequence stands before what there is.
    execute(
        &pool,
        "alter table taskq.task alter column task_id restart with 1",
    )
    .await;
    let again = Kept::enqueue(&mut db, 8).await.expect("enqueued");
    assert_eq!(again.task_id, task.task_id);
    let result: Result<TaskResult<i64>, ResultError> = again.result(&mut db).await;
    assert_eq!(result.expect("read"), TaskResult::Unfinished);
    execute(
        &pool,
        "insert into taskq.task (task_type) select 'unknown' from generate_series(1, 20)",
    )
    .await;
    leave_behind(&pool).await;
    execute(
        &pool,
        "alter table taskq.task alter column task_id restart with 5;
         insert into taskq.task (task_type, run_at) select 'unknown', now() + interval '1 day' from generate_series(1, 3)",
    )
    .await;
    let log = Log::capture();
    while_working(work(), async {
        until("rescued", async || {
            one::<i64>(&pool, "select count(*) from taskq.lease").await == 0
        })
        .await;
        until("advanced", async || {
            log.has("ids of tasks would have come again")
        })
        .await;
        until("completed", async || {
            count_of(&pool, "state = 'completed'").await == 2
        })
        .await;
    })
    .await;
    let result: Result<TaskResult<i64>, ResultError> = again.result(&mut db).await;
    assert_eq!(result.expect("read"), TaskResult::Kept(8));
    assert_eq!(count_of(&pool, "state = 'refused'").await, 3);
    execute(&pool, "select taskq.take_back(task_id) from taskq.refused").await;
    assert_eq!(count_of(&pool, "state = 'refused'").await, 0);
    let next = Kept::enqueue(&mut db, 9).await.expect("enqueued");
    assert!(next.task_id > 21, "{}", next.task_id);
}

#[tokio::test]
async fn ids_that_are_handed_out_meanwhile_are_not_taken_for_ids_that_come_again() {
    let (_database, pool) = database().await;
    let enqueue = async || {
        for _ in 0..150 {
            execute(
                &pool,
                "insert into taskq.task (task_type) select 'unknown' from generate_series(1, 20)",
            )
            .await;
        }
    };
    let look = async || {
        for _ in 0..150 {
            let advanced = "select taskq.advance_ids() is not null";
            assert!(!one::<bool>(&pool, advanced).await, "nothing was set back");
        }
    };
    tokio::join!(enqueue(), enqueue(), look(), look());
    // A sequence that was made anew and has handed out nothing.
    execute(&pool, "delete from taskq.task where task_id > 1; alter table taskq.task alter column task_id restart with 1").await;
    assert!(one::<bool>(&pool, "select taskq.advance_ids() > 0").await);
    execute(
        &pool,
        "insert into taskq.task (task_type) values ('unknown')",
    )
    .await;
}

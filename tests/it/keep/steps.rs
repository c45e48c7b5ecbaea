//! What one step of pruning does, and what is told beforehand.

use std::collections::BTreeMap;

use sqlx::{PgConnection, query_as};

use super::{ended, left, of, pruned};
use crate::support::{database, execute};

/// Deletes ten at the most.
async fn step(db: &mut PgConnection) -> (i64, bool) {
    let step = query_as("select pruned, is_more from taskq.prune_kept(10)");
    step.fetch_one(db).await.expect("pruned")
}

const KEEP: &str = "select taskq.keep('x', 'discarded', '1d'), taskq.keep('x', 'completed', '1d'),
    taskq.keep('others', 'completed', '30d')";

#[tokio::test]
async fn a_step_deletes_so_many_and_says_whether_there_may_be_more() {
    for outcome in ["completed", "discarded"] {
        let (_database, pool) = database().await;
        let mut db = pool.acquire().await.expect("a connection");
        execute(&pool, KEEP).await;
        ended(&pool, "x", outcome, "3 days", 25).await;
        ended(&pool, "x", outcome, "1 hour", 2).await;
        let mut steps = Vec::new();
        for _ in 0..4 {
            steps.push(step(&mut db).await);
        }
        assert_eq!(
            steps,
            [(10, true), (10, true), (5, false), (0, false)],
            "{outcome}"
        );
        assert_eq!(left(&pool).await, of([("x", outcome, 2)]));
        assert_eq!(pruned(&pool).await, of([("x", outcome, 25)]));
    }
}

/// Members of a group that has ended since they were looked at.
#[tokio::test]
async fn a_step_deletes_so_many_members_of_a_group_that_has_ended() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    execute(&pool, KEEP).await;
    ended(&pool, "x", "completed", "3 days", 25).await;
    execute(
        &pool,
        "insert into taskq.task_group (task_type, payload, created_at) values ('y', '{}', now() - interval '9 days');
         update taskq.history set metadata = jsonb_build_object('task.group', 1)",
    )
    .await;
    let mut steps = Vec::new();
    for _ in 0..3 {
        steps.push(step(&mut db).await);
    }
    assert_eq!(
        steps,
        [(0, true), (0, true), (0, false)],
        "its group is open"
    );
    let end = "update taskq.task_group set ended_at = now() - interval '2 days'";
    execute(&pool, end).await;
    steps.clear();
    for _ in 0..3 {
        steps.push(step(&mut db).await);
    }
    assert_eq!(steps, [(10, true), (10, true), (5, false)]);
    assert_eq!(left(&pool).await, of([]));
}

#[tokio::test]
async fn while_somebody_prunes_there_is_nothing_to_do_for_others() {
    for outcome in ["completed", "discarded"] {
        let (_database, pool) = database().await;
        execute(&pool, KEEP).await;
        ended(&pool, "x", outcome, "3 days", 25).await;
        let mut pruning = pool.begin().await.expect("a transaction");
        assert_eq!(step(&mut pruning).await, (10, true));
        let mut other = pool.acquire().await.expect("a connection");
        assert_eq!(step(&mut other).await, (0, false), "{outcome}");
        pruning.commit().await.expect("committed");
        assert_eq!(step(&mut other).await, (10, true));
    }
}

#[tokio::test]
async fn what_is_told_to_go_is_what_goes() {
    let (_database, pool) = database().await;
    let operator = taskq::operate(&pool);
    execute(&pool, KEEP).await;
    execute(
        &pool,
        "select taskq.keep('x', 'cancelled', 'forever'), taskq.keep('days', 'completed', '30d')",
    )
    .await;
    for outcome in ["completed", "discarded", "cancelled", "expired"] {
        ended(&pool, "x", outcome, "1 hour", 2).await;
        ended(&pool, "x", outcome, "25 hours", 3).await;
    }
    // As long as the days are kept, and so with them.
    ended(&pool, "days", "completed", "29 days", 4).await;
    ended(&pool, "days", "completed", "32 days", 5).await;
    // A sequence waits at one.
    execute(
        &pool,
        "insert into taskq.sequence_block (task_id, task_type, key, payload, state)
         select min(task_id), 'x', 'a', '{}', 'discarded'
         from taskq.dead
         where state = 'discarded' and finished_at < now() - interval '1 day'",
    )
    .await;
    let told = operator.prunable().await.expect("told").into_iter();
    let told: BTreeMap<_, _> = told
        .map(|it| ((it.task_type, it.outcome), it.tasks as i64))
        .collect();
    let expected = of([
        ("days", "completed", 5),
        ("x", "completed", 3),
        ("x", "discarded", 2),
    ]);
    assert_eq!(told, expected);
    operator.prune().await.expect("pruned");
    assert_eq!(pruned(&pool).await, expected);
    assert!(operator.prunable().await.expect("told").is_empty());
    assert_eq!(left(&pool).await[&("x".into(), "discarded".into())], 3);
}

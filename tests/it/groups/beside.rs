//! Transactions beside each other that change one group: none waits for another without need, and nothing is counted twice.

use std::time::Duration;

use sqlx::query;
use taskq::{Group, Many, NewTask};

use super::{Kept, Member, MemberInTx, all, finish_as, group_of, told, told_database};
use crate::support::{drain, execute, leave_behind, one, until, while_working, worker};

#[tokio::test]
async fn nobody_waits_for_a_transaction_that_adds_members_and_stays_open() {
    let (_database, pool) = told_database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let group = Group::begin(&mut db, finish_as("slow"))
        .await
        .expect("begun");
    Member::enqueue(&mut db, "".into())
        .group(group)
        .await
        .expect("added");
    let mut slow = pool.begin().await.expect("begun");
    Member::enqueue(&mut slow, "".into())
        .group(group)
        .await
        .expect("added");
    group.seal(&mut slow).await.expect("sealed");
    drain(all(&pool), &pool).await;
    let left: i64 = one(&pool, "select count(*) from taskq.lease").await;
    assert_eq!(left, 0, "the outcome of the first is written");
    slow.commit().await.expect("committed");
    drain(all(&pool), &pool).await;
    assert_eq!(told(&pool).await, ["slow: 2 = 2 0 0 0 0 0 0"]);
}

#[tokio::test]
async fn the_last_members_of_a_group_end_at_once_in_several_workers() {
    let (_database, pool) = told_database().await;
    for round in 0..4 {
        let mut tx = pool.begin().await.expect("begun");
        let groups = [
            Group::begin(&mut tx, finish_as(&format!("{round}a")))
                .await
                .expect("begun"),
            Group::begin(&mut tx, finish_as(&format!("{round}b")))
                .await
                .expect("begun"),
        ];
        let mut many = Many::new();
        for n in 0..64 {
            let group = groups[n % 2];
            match n % 3 {
                0 => _ = many.push(NewTask::of(MemberInTx { how: "".into() }).group(group)),
                1 => _ = many.push(NewTask::of(Member { how: "".into() }).group(group)),
                _ => _ = many.push(NewTask::of(Kept { n: 2 }).group(group)),
            }
        }
        many.enqueue(&mut tx).await.expect("enqueued");
        for group in groups {
            group.seal(&mut tx).await.expect("sealed");
        }
        tx.commit().await.expect("committed");
    }
    let all_told = until("all groups have ended", async || {
        told(&pool).await.len() >= 8
    });
    let third = while_working(all(&pool), all_told);
    while_working(all(&pool), while_working(all(&pool), third)).await;
    let told = told(&pool).await;
    assert_eq!(told.len(), 8, "{told:?}");
    assert!(
        told.iter().all(|it| it.ends_with(": 32 = 32 0 0 0 0 0 0")),
        "{told:?}"
    );
    let ended = taskq::operate(&pool).groups(100).await.expect("read");
    assert!(ended.iter().all(|group| group.state() == "ended"));
}

#[tokio::test]
async fn a_statement_that_ends_many_members_writes_the_row_of_their_group_once() {
    let (_database, pool) = told_database().await;
    execute(
        &pool,
        "create table public.written (n bigint);
         create function note() returns trigger language plpgsql as
         $$ begin insert into public.written values (1); return null; end $$;
         create trigger note after update on taskq.task_group for each row execute function note()",
    )
    .await;
    let hows: Vec<&str> = ["", "discard"].into_iter().cycle().take(400).collect();
    group_of(&pool, "many", &hows).await;
    execute(&pool, "delete from written").await;
    drain(all(&pool), &pool).await;
    assert_eq!(told(&pool).await, ["many: 400 = 200 200 0 0 0 0 0"]);
    let written: i64 = one(&pool, "select count(*) from written").await;
    assert!(written < 100, "{written} times");
}

/// Nobody waits for whoever adds from outside after the seal. So he may come too late, and is told by his commit.
#[tokio::test]
async fn whoever_adds_from_outside_to_a_group_that_ends_meanwhile_cannot_commit() {
    let (_database, pool) = told_database().await;
    let group = group_of(&pool, "sealed", &[""]).await;
    let mut late = pool.begin().await.expect("begun");
    Member::enqueue(&mut late, "".into())
        .group(group)
        .await
        .expect("added");
    drain(all(&pool), &pool).await;
    let refused = late.commit().await.expect_err("refused").to_string();
    assert!(refused.contains("group 1 has ended"), "{refused}");
    drain(all(&pool), &pool).await;
    assert_eq!(told(&pool).await, ["sealed: 1 = 1 0 0 0 0 0 0"]);
}

/// A handler that has lost its lease, and does not know it yet, adds members and returns; meanwhile its task is quarantined.
#[tokio::test]
async fn a_rescue_and_a_late_handler_that_adds_members_do_not_wait_for_each_other() {
    #[taskq::task]
    async fn other() {}

    let (_database, pool) = told_database().await;
    let group = group_of(&pool, "late", &["in time"]).await;
    execute(&pool, "update taskq.task set crashes = 4").await;
    leave_behind(&pool).await;

    let mut late = pool.begin().await.expect("begun");
    let added = Member::enqueue(&mut late, "late".into()).group(group).await;
    added.expect("the group is open");
    // What a worker says when a handler has returned, before it deletes the lease.
    query("set constraints all immediate")
        .execute(&mut *late)
        .await
        .expect("accepted");
    let rescuer = worker(&pool)
        .only::<(Other,)>()
        .lease(Duration::from_millis(500));
    while_working(rescuer, async {
        until("rescued", async || {
            one::<i64>(&pool, "select count(*) from taskq.dead").await == 1
        })
        .await;
    })
    .await;
    let left = query("delete from taskq.lease").execute(&mut *late).await;
    assert_eq!(left.expect("deleted").rows_affected(), 0);
    late.rollback().await.expect("rolled back");
    drain(all(&pool), &pool).await;
    assert_eq!(told(&pool).await, ["late: 1 = 0 0 0 0 1 0 0"]);
}

/// What workers say before they commit has the group not be there for others to wait for, and it is added up all the same.
#[tokio::test]
async fn what_is_checked_before_the_commit_is_added_up_by_the_commit() {
    let (_database, pool) = told_database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let group = Group::begin(&mut db, finish_as("two"))
        .await
        .expect("begun");
    let mut tx = pool.begin().await.expect("begun");
    for how in ["", "discard"] {
        let added = Member::enqueue(&mut tx, how.into()).group(group).await;
        added.expect("added");
        let accept = query("set constraints all immediate");
        accept.execute(&mut *tx).await.expect("accepted");
        if how.is_empty() {
            // What the transaction locks from here on it locks before the group.
            let lock = query("select from taskq.task_group for update nowait");
            let locked = lock.execute(&mut *db).await.expect("nobody has locked it");
            assert_eq!(locked.rows_affected(), 1);
        }
    }
    group.seal(&mut tx).await.expect("sealed");
    tx.commit().await.expect("committed");
    let rows: i64 = one(&pool, "select count(*) from taskq.group_change").await;
    assert_eq!(rows, 0);
    drain(all(&pool), &pool).await;
    assert_eq!(told(&pool).await, ["two: 2 = 1 1 0 0 0 0 0"]);
    // What cannot be added is told there, and not only by the commit.
    let mut tx = pool.begin().await.expect("begun");
    query("insert into taskq.group_change values (pg_current_xact_id(), 1, 'added', 1)")
        .execute(&mut *tx)
        .await
        .expect("noted");
    let refused = query("set constraints all immediate")
        .execute(&mut *tx)
        .await;
    let error = refused.expect_err("it has ended").to_string();
    assert!(error.contains("group 1 has ended"), "{error}");
}

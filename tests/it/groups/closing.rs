//! When a group ends: after its last member, exactly once, in the transaction that ends that.

use std::time::Duration;

use sqlx::query_scalar;
use taskq::operate::Filter;
use taskq::{EnqueueError, Group, NewTask};

use super::{Branch, Member, MemberInTx, all, finish_as, group_of, run_due, told, told_database};
use crate::support::{database, drain, execute, one};

#[tokio::test]
async fn a_group_of_none_ends_with_the_commit_that_seals_it() {
    let (_database, pool) = told_database().await;
    let mut tx = pool.begin().await.expect("begun");
    let group = Group::begin(&mut tx, finish_as("none")).await;
    group.expect("begun").seal(&mut tx).await.expect("sealed");
    tx.commit().await.expect("committed");
    drain(all(&pool), &pool).await;
    assert_eq!(told(&pool).await, ["none: 0 = 0 0 0 0 0 0 0"]);
}

#[tokio::test]
async fn its_task_is_enqueued_when_the_last_member_has_ended_and_not_before() {
    let (_database, pool) = told_database().await;
    group_of(&pool, "three", &["", "fail once", "snooze"]).await;
    run_due(&pool).await;
    assert!(told(&pool).await.is_empty(), "one is snoozed");
    let waits: i64 = one(&pool, "select count(*) from taskq.task").await;
    assert_eq!(waits, 1);
    execute(
        &pool,
        "update taskq.task set run_at = now(), payload = '{\"how\": \"\"}'",
    )
    .await;
    run_due(&pool).await;
    assert_eq!(told(&pool).await, ["three: 3 = 3 0 0 0 0 0 0"]);
    let kept: i64 = one(&pool, "select count(*) from taskq.history").await;
    assert_eq!(kept, 0, "a member is not kept for its group's sake");
}

#[tokio::test]
async fn members_that_are_kept_are_counted_too() {
    let (_database, pool) = told_database().await;
    group_of(&pool, "kept", &["", "", ""]).await;
    drain(all(&pool).keep_completed(true), &pool).await;
    assert_eq!(told(&pool).await, ["kept: 3 = 3 0 0 0 0 0 0"]);
    let kept: i64 = one(&pool, "select count(*) from taskq.history").await;
    assert_eq!(kept, 4, "and the task of the group");
}

#[tokio::test]
async fn members_that_end_before_the_seal_do_not_end_the_group() {
    let (_database, pool) = told_database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let group = Group::begin(&mut db, finish_as("late"))
        .await
        .expect("begun");
    Member::enqueue(&mut db, "".into())
        .group(group)
        .await
        .expect("added");
    drain(all(&pool), &pool).await;
    MemberInTx::enqueue(&mut db, "".into())
        .group(group)
        .await
        .expect("added");
    drain(all(&pool), &pool).await;
    assert!(told(&pool).await.is_empty());
    let open = taskq::operate(&pool).group(group.group_id()).await;
    let open = open.expect("read").expect("there");
    assert_eq!(
        open.to_string(),
        "group 1 for finish: adding, 0 of 2 members left, 2 completed"
    );
    group.seal(&mut db).await.expect("sealed");
    group.seal(&mut db).await.expect("sealed twice");
    drain(all(&pool), &pool).await;
    assert_eq!(told(&pool).await, ["late: 2 = 2 0 0 0 0 0 0"]);
    let ended = taskq::operate(&pool).groups(10).await.expect("read");
    assert_eq!(ended[0].state(), "ended");
    assert!(ended[0].task_id.is_some());
}

#[tokio::test]
async fn what_is_rolled_back_was_never_there() {
    let (_database, pool) = told_database().await;
    let mut tx = pool.begin().await.expect("begun");
    let group = Group::begin(&mut tx, finish_as("gone"))
        .await
        .expect("begun");
    Member::enqueue(&mut tx, "".into())
        .group(group)
        .await
        .expect("added");
    group.seal(&mut tx).await.expect("sealed");
    tx.rollback().await.expect("rolled back");
    for table in ["task", "task_group", "group_member", "group_change"] {
        let count = format!("select count(*) from taskq.{table}");
        let count: i64 = query_scalar(sqlx::AssertSqlSafe(count))
            .fetch_one(&pool)
            .await
            .expect("counted");
        assert_eq!(count, 0, "{table}");
    }
    let group = group_of(&pool, "kept", &[]).await;
    let mut tx = pool.begin().await.expect("begun");
    sqlx::query("savepoint one")
        .execute(&mut *tx)
        .await
        .expect("said");
    let late = Member::enqueue(&mut tx, "".into()).group(group).await;
    let Err(EnqueueError::Group { problem }) = late else {
        panic!("{late:?}");
    };
    assert!(problem.contains("has ended"), "{problem}");
    drop(tx);
    let mut db = pool.acquire().await.expect("a connection");
    let unknown = Group::of(99).seal(&mut db).await;
    assert!(
        unknown
            .expect_err("refused")
            .to_string()
            .starts_with("there is no group 99")
    );
}

#[tokio::test]
async fn a_member_that_runs_adds_others_and_the_group_waits_for_them() {
    let (_database, pool) = told_database().await;
    let mut tx = pool.begin().await.expect("begun");
    let group = Group::begin(&mut tx, finish_as("tree"))
        .await
        .expect("begun");
    Branch::enqueue(&mut tx, 5)
        .group(group)
        .await
        .expect("added");
    group.seal(&mut tx).await.expect("sealed");
    tx.commit().await.expect("committed");
    drain(all(&pool), &pool).await;
    assert_eq!(told(&pool).await, ["tree: 63 = 63 0 0 0 0 0 0"]);
}

#[tokio::test]
async fn the_task_of_a_group_has_the_options_that_were_said() {
    let (_database, pool) = database().await;
    let mut tx = pool.begin().await.expect("begun");
    let task = NewTask::of(finish_as("late"))
        .queue("reports")
        .priority(7)
        .max_attempts(3)
        .delay(Duration::from_secs(3_600))
        .expires(Duration::from_secs(60))
        .metadata("who", "ada")
        .unique_key("report");
    for _ in 0..2 {
        let task = NewTask::of(finish_as("other")).unique_key("report");
        let group = Group::begin(&mut tx, task).await.expect("begun");
        let _: Group = group;
    }
    Group::begin(&mut tx, task)
        .await
        .expect("begun")
        .seal(&mut tx)
        .await
        .expect("sealed");
    tx.commit().await.expect("committed");
    let said: String = one(
        &pool,
        "select format('%s %s %s %s %s %s', queue, priority, max_attempts, metadata ->> 'who',
                metadata -> 'task.expires', round(extract(epoch from run_at - created_at)))
         from taskq.task",
    )
    .await;
    assert_eq!(said, "reports 7 3 ada 3660 3600");
    // The others do as a key says: the task that is there has it.
    let mut db = pool.acquire().await.expect("a connection");
    for group_id in [1, 2] {
        Group::of(group_id).seal(&mut db).await.expect("sealed");
    }
    let groups = taskq::operate(&pool).groups(10).await.expect("read");
    assert!(
        groups
            .iter()
            .all(|group| group.task_id == groups[0].task_id && group.task_id.is_some())
    );
    let refused = Group::begin(&mut db, NewTask::of(finish_as("x")).group(Group::of(1))).await;
    assert!(
        refused
            .expect_err("refused")
            .to_string()
            .starts_with("`group` is of members")
    );
}

/// Its members wait for nobody, and whoever looks sees it.
#[tokio::test]
async fn a_group_whose_task_postgres_refuses_holds_up_nobody_and_is_enqueued_later() {
    let (_database, pool) = told_database().await;
    execute(
        &pool,
        "alter table taskq.task add constraint no_finish check (task_type <> 'finish')",
    )
    .await;
    let group = group_of(&pool, "refused", &["", "", "discard"]).await;
    drain(all(&pool), &pool).await;
    let left: i64 = one(
        &pool,
        "select (select count(*) from taskq.lease) + (select count(*) from taskq.task)",
    )
    .await;
    assert_eq!(left, 0);
    let operator = taskq::operate(&pool);
    let open = operator
        .group(group.group_id())
        .await
        .expect("read")
        .expect("there");
    assert_eq!(open.state(), "refused");
    assert!(
        open.problem
            .as_ref()
            .is_some_and(|why| why.contains("no_finish")),
        "{open:?}"
    );
    let ailments = operator.doctor().await.expect("read");
    assert!(
        ailments
            .iter()
            .any(|it| it.problem == "group" && it.said.contains("no_finish")),
        "{ailments:?}"
    );
    execute(&pool, "alter table taskq.task drop constraint no_finish").await;
    execute(&pool, "select taskq.tend_groups(20, 1000)").await;
    execute(&pool, "select taskq.tend_groups(20, 1000)").await;
    drain(all(&pool), &pool).await;
    assert_eq!(told(&pool).await, ["refused: 3 = 2 1 0 0 0 0 0"]);
}

/// A constraint that is looked at with the commit would fail the commit of whoever ended the last member.
#[tokio::test]
async fn a_constraint_that_is_deferred_refuses_the_task_alone() {
    let (_database, pool) = told_database().await;
    execute(
        &pool,
        "create function refuse() returns trigger language plpgsql as
         $$ begin raise exception 'not at this time'; end $$;
         create constraint trigger refuse after insert on taskq.task deferrable initially deferred
         for each row when (new.task_type = 'finish') execute function refuse()",
    )
    .await;
    let group = group_of(&pool, "deferred", &[""]).await;
    let mut tx = pool.begin().await.expect("begun");
    let other = Group::begin(&mut tx, finish_as("in tx"))
        .await
        .expect("begun");
    MemberInTx::enqueue(&mut tx, "".into())
        .group(other)
        .await
        .expect("added");
    other.seal(&mut tx).await.expect("sealed");
    tx.commit().await.expect("committed");
    drain(all(&pool), &pool).await;
    let operator = taskq::operate(&pool);
    for group in [group, other] {
        let open = operator
            .group(group.group_id())
            .await
            .expect("read")
            .expect("there");
        assert_eq!(open.problem.as_deref(), Some("not at this time"));
        assert_eq!((open.completed, open.remaining), (1, 0));
    }
}

#[tokio::test]
async fn a_group_that_ended_long_ago_is_deleted_unless_its_task_is_there() {
    let (_database, pool) = told_database().await;
    let open = group_of(&pool, "open", &["snooze"]).await;
    let waits = group_of(&pool, "waits", &[]).await;
    execute(
        &pool,
        "update taskq.task set run_at = now() + interval '1 day'",
    )
    .await;
    let gone = group_of(&pool, "gone", &["", "", ""]).await;
    run_due(&pool).await;
    execute(
        &pool,
        "update taskq.task_group set ended_at = ended_at - interval '8 days', created_at = created_at - interval '30 days'",
    )
    .await;
    let prune = "select taskq.prune_groups(604800, 2)";
    let mut pruned: Vec<i64> = Vec::new();
    for _ in 0..3 {
        pruned.push(one(&pool, prune).await);
    }
    assert_eq!(pruned, [2, 2, 0]);
    let left: Vec<i64> = one(
        &pool,
        "select array_agg(group_id order by group_id) from taskq.task_group",
    )
    .await;
    assert_eq!(left, [open.group_id(), waits.group_id()]);
    assert!(!left.contains(&gone.group_id()));
}

#[tokio::test]
async fn a_group_that_nobody_seals_is_seen_and_an_operator_seals_it() {
    let (_database, pool) = told_database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let group = Group::begin(&mut db, finish_as("left"))
        .await
        .expect("begun");
    Member::enqueue(&mut db, "".into())
        .group(group)
        .await
        .expect("added");
    drain(all(&pool), &pool).await;
    execute(
        &pool,
        "update taskq.task_group set created_at = now() - interval '2 days'",
    )
    .await;
    let operator = taskq::operate(&pool).as_user("ada");
    let ailments = operator.doctor().await.expect("read");
    let ailment = ailments
        .iter()
        .find(|it| it.problem == "group")
        .expect("said");
    assert!(
        ailment.said.contains("2 days ago and is not sealed"),
        "{}",
        ailment.said
    );
    operator.seal_group(group.group_id()).await.expect("sealed");
    drain(all(&pool), &pool).await;
    assert_eq!(told(&pool).await, ["left: 1 = 1 0 0 0 0 0 0"]);
    let audited: String = one(
        &pool,
        "select concat_ws(' ', by, verb, scope, name) from taskq.audit",
    )
    .await;
    assert_eq!(audited, "ada seal group 1");
    let refused = operator.seal_group(99).await.expect_err("refused");
    assert!(
        refused.to_string().contains("there is no group 99"),
        "{refused}"
    );
}

#[tokio::test]
async fn all_that_can_be_done_to_many_can_be_done_to_a_group() {
    let (_database, pool) = told_database().await;
    let group = group_of(&pool, "unwanted", &["snooze", "snooze", "snooze"]).await;
    group_of(&pool, "other", &["snooze"]).await;
    let filter: Filter = format!("group:{}", group.group_id())
        .parse()
        .expect("a filter");
    let operator = taskq::operate(&pool);
    let bulk = operator.cancel_all(&filter).await.expect("frozen");
    operator.run_bulk(bulk.bulk_id, |_| ()).await.expect("done");
    run_due(&pool).await;
    assert_eq!(told(&pool).await, ["unwanted: 3 = 0 0 3 0 0 0 0"]);
}

//! When a group ends: after its last member, exactly once, in the transaction that ends that.

use std::time::Duration;

use sqlx::{query, query_scalar};
use taskq::operate::Filter;
use taskq::{EnqueueError, Group, Many, NewTask};

use super::{
    Branch, Kept, Member, MemberInTx, all, finish_as, group_of, run_due, told, told_database,
};
use crate::support::{database, drain, execute, leave_behind, one, until, while_working, worker};

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

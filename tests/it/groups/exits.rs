//! Every way in which a member ends, and those in which it does not.

use std::time::Duration;

use sqlx::PgPool;
use taskq::unique::{OnConflict, Unique};
use taskq::{EnqueueOutcome, Group, Many, NewTask};

use super::{Kept, Member, MemberInTx, all, finish_as, group_of, run_due, told, told_database};
use crate::support::{drain, execute, one, until, while_working};

async fn seal(pool: &PgPool, group: Group) {
    let mut db = pool.acquire().await.expect("a connection");
    group.seal(&mut db).await.expect("sealed");
}

#[tokio::test]
async fn each_way_to_end_is_counted_by_its_name() {
    let (_database, pool) = told_database().await;
    let mut tx = pool.begin().await.expect("begun");
    let group = Group::begin(&mut tx, finish_as("all"))
        .await
        .expect("begun");
    let mut many = Many::new().group(group);
    for how in ["", "fail", "discard", "cancel"] {
        many.push(Member { how: how.into() });
        many.push(MemberInTx { how: how.into() });
    }
    many.push(Kept { n: 3 });
    let expires = Member { how: "".into() };
    let expires = many.push(NewTask::of(expires).expires(Duration::from_secs(1)));
    let invalid = many.push(Member { how: "".into() });
    let crashes = many.push(MemberInTx { how: "".into() });
    let cancelled = many.push(NewTask::of(Kept { n: 1 }).delay(Duration::from_secs(3_600)));
    let enqueued = many.enqueue(&mut tx).await.expect("enqueued");
    tx.commit().await.expect("committed");
    for (task_id, change) in [
        (
            enqueued.get(expires).task_id,
            "created_at = now() - interval '1 hour', run_at = now() - interval '1 hour'",
        ),
        (enqueued.get(invalid).task_id, "payload = '{\"how\": 1}'"),
        // Another crash, and it is quarantined.
        (enqueued.get(crashes).task_id, "crashes = 4"),
    ] {
        let change = format!("update taskq.task set {change} where task_id = {task_id}");
        sqlx::query(sqlx::AssertSqlSafe(change))
            .execute(&pool)
            .await
            .expect("changed");
    }
    // A worker that claimed it and died.
    let die = format!(
        "with gone as (delete from taskq.task where task_id = {} returning *)
         insert into taskq.lease (lease_id, worker_id, queue, expires_at, task_ids, task_types, payload_versions, payloads,
             priorities, run_ats, created_ats, max_attempts, attempts, crashes, errors, metadatas)
         select gen_random_uuid(), gen_random_uuid(), queue, now() - interval '1 second', array[task_id], array[task_type],
             array[payload_version], array[payload], array[priority], array[run_at], array[created_at], array[max_attempts],
             array[attempts], array[crashes], array[errors], array[metadata]
         from gone",
        enqueued.get(crashes).task_id
    );
    sqlx::query(sqlx::AssertSqlSafe(die))
        .execute(&pool)
        .await
        .expect("died");
    let operator = taskq::operate(&pool);
    operator
        .cancel(enqueued.get(cancelled).task_id)
        .await
        .expect("cancelled");
    drain(all(&pool), &pool).await;
    assert!(told(&pool).await.is_empty(), "it is not sealed");
    seal(&pool, group).await;
    drain(all(&pool), &pool).await;
    // `fail` in the transaction is no failure there.
    assert_eq!(told(&pool).await, ["all: 13 = 5 3 2 1 1 1 0"]);
    let kept: i64 = one(&pool, "select count(*) from taskq.history").await;
    assert_eq!(kept, 1);
    let results: Vec<String> = one(
        &pool,
        "select array_agg(format('%s %s', member.outcome, history.result))
         from taskq.group_member as member join taskq.history using (task_id)",
    )
    .await;
    assert_eq!(
        results,
        ["completed 9"],
        "and by its id the results are found"
    );
}

/// The count stays as it was when the group ended, and its task does not run twice.
#[tokio::test]
async fn a_dead_member_that_is_run_again_ends_its_group_no_second_time() {
    let (_database, pool) = told_database().await;
    let group = group_of(&pool, "dead", &["discard", "discard", "snooze"]).await;
    run_due(&pool).await;
    let retry_one = "with one as (select min(task_id) as task_id from taskq.dead)
                     select taskq.retry(task_id) from one";
    // While the group is open: it has ended once, and is not waited for.
    execute(&pool, retry_one).await;
    execute(&pool, "update taskq.task set payload = '{\"how\": \"\"}', run_at = now() where payload ->> 'how' = 'discard'").await;
    run_due(&pool).await;
    assert!(told(&pool).await.is_empty());
    execute(
        &pool,
        "update taskq.task set payload = '{\"how\": \"\"}', run_at = now()",
    )
    .await;
    run_due(&pool).await;
    assert_eq!(told(&pool).await, ["dead: 3 = 1 2 0 0 0 0 0"]);
    // And after it has ended.
    execute(&pool, retry_one).await;
    run_due(&pool).await;
    // And its row deleted.
    let discard = "select taskq.discard(task_id) from taskq.dead";
    execute(&pool, discard).await;
    execute(&pool, "select taskq.tend_groups(20, 100)").await;
    run_due(&pool).await;
    assert_eq!(told(&pool).await.len(), 1);
    let status = taskq::operate(&pool)
        .group(group.group_id())
        .await
        .expect("read");
    assert_eq!(status.expect("there").members, 3);
}

#[tokio::test]
async fn a_member_whose_row_somebody_deletes_counts_as_deleted_and_no_other_does() {
    let (_database, pool) = told_database().await;
    group_of(
        &pool,
        "deleted",
        &["snooze", "snooze", "", "snooze", "snooze"],
    )
    .await;
    run_due(&pool).await;
    execute(&pool, "delete from taskq.task where task_id in (1, 4)").await;
    // One runs, of one a worker has vanished, and one is refused: they are not gone.
    execute(
        &pool,
        "with gone as (delete from taskq.task where task_id = 2 returning *)
         insert into taskq.refused (task_id, task_type, payload_version, payload, queue, priority, run_at, created_at, attempts,
             crashes, metadata)
         select task_id, task_type, payload_version, payload, queue, priority, run_at, created_at, attempts, crashes, metadata
         from gone",
    )
    .await;
    // Two at a time.
    let mut gone: Vec<i64> = Vec::new();
    for _ in 0..4 {
        gone.push(one(&pool, "select gone from taskq.tend_groups(20, 2)").await);
    }
    assert_eq!(gone, [1, 1, 0, 0]);
    let left: i64 = one(&pool, "select remaining from taskq.task_group").await;
    assert_eq!(left, 2);
    execute(&pool, "select taskq.take_back(2)").await;
    execute(
        &pool,
        "update taskq.task set payload = '{\"how\": \"\"}', run_at = now()",
    )
    .await;
    run_due(&pool).await;
    assert_eq!(told(&pool).await, ["deleted: 5 = 3 0 0 0 0 0 2"]);
}

#[tokio::test]
async fn workers_find_what_was_deleted_by_themselves() {
    let (_database, pool) = told_database().await;
    group_of(&pool, "found", &["snooze"]).await;
    execute(&pool, "delete from taskq.task").await;
    // Within a minute.
    let ended = until("it has ended", async || {
        // The duty is due at some time in its period: have it be due now, by the statement that it makes.
        execute(&pool, "select taskq.tend_groups(20, 10000)").await;
        told(&pool).await.len() == 1
    });
    while_working(all(&pool), ended).await;
    assert_eq!(told(&pool).await, ["found: 1 = 0 0 0 0 0 0 1"]);
}

/// Where a trigger of a user's refuses each statement that names a table, a member completes without it.
#[tokio::test]
async fn a_completed_member_counts_where_postgres_refuses_the_other_tables() {
    let (_database, pool) = told_database().await;
    let group = group_of(&pool, "alone", &["", ""]).await;
    execute(
        &pool,
        "create function refuse() returns trigger language plpgsql as $$ begin raise exception 'not now'; end $$;
         create trigger refuse before insert on taskq.dead for each statement execute function refuse()",
    )
    .await;
    drain(all(&pool), &pool).await;
    assert_eq!(told(&pool).await, ["alone: 2 = 2 0 0 0 0 0 0"]);
    assert_eq!(group.group_id(), 1);
}

#[tokio::test]
async fn a_task_that_had_the_key_already_is_no_member_and_stays_one_of_its_own() {
    let (_database, pool) = told_database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let first = Group::begin(&mut db, finish_as("first"))
        .await
        .expect("begun");
    let second = Group::begin(&mut db, finish_as("second"))
        .await
        .expect("begun");
    let replace = || {
        let task = NewTask::of(Kept { n: 1 }).delay(Duration::from_secs(3_600));
        task.unique(Unique::new().on_conflict(OnConflict::Replace))
    };
    for (group, outcomes) in [
        (first, [EnqueueOutcome::Created, EnqueueOutcome::Replaced]),
        (second, [EnqueueOutcome::Replaced, EnqueueOutcome::Replaced]),
    ] {
        let mut many = Many::new().group(group);
        let _ = (many.push(replace()), many.push(replace()));
        let enqueued = many.enqueue(&mut db).await.expect("enqueued");
        assert!(enqueued.tasks().map(|(_, outcome)| outcome).eq(outcomes));
    }
    // Of no group, and it stays a member.
    let mut many = Many::new();
    many.push(replace());
    many.enqueue(&mut db).await.expect("enqueued");
    let existing = Kept::enqueue(&mut db, 1)
        .unique(Unique::new())
        .group(second)
        .await;
    assert_eq!(
        existing.expect("enqueued").outcome,
        EnqueueOutcome::Existing
    );
    for group in [first, second] {
        group.seal(&mut db).await.expect("sealed");
    }
    execute(&pool, "update taskq.task set run_at = now()").await;
    drain(all(&pool), &pool).await;
    assert_eq!(
        told(&pool).await,
        ["first: 1 = 1 0 0 0 0 0 0", "second: 0 = 0 0 0 0 0 0 0"]
    );
}

#[tokio::test]
async fn what_only_says_that_it_is_a_member_is_none_and_ends_as_others_do() {
    let (_database, pool) = told_database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let group = Group::begin(&mut db, finish_as("real"))
        .await
        .expect("begun");
    group.seal(&mut db).await.expect("sealed");
    for value in ["1", "\"x\"", "-3", "1e300", "null", "[]"] {
        for how in ["", "discard"] {
            let insert = "insert into taskq.task (task_type, payload, metadata)
                          values ('member', jsonb_build_object('how', $1::text),
                              jsonb_build_object('task.group', $2::jsonb, 'task.first_id', $2::jsonb))";
            let insert = sqlx::query(insert).bind(how).bind(value);
            insert.execute(&pool).await.expect("inserted");
        }
    }
    drain(all(&pool), &pool).await;
    let dead: i64 = one(&pool, "select count(*) from taskq.dead").await;
    assert_eq!(dead, 6);
    assert_eq!(told(&pool).await, ["real: 0 = 0 0 0 0 0 0 0"]);
}

#[tokio::test]
async fn groups_are_begun_and_filled_and_sealed_from_sql() {
    let (_database, pool) = told_database().await;
    execute(
        &pool,
        "with begun as (select taskq.begin_group('finish', '{\"name\": \"sql\"}', '{\"priority\": 5}') as group_id)
         select taskq.enqueue('member', jsonb_build_object('how', how), jsonb_build_object('group', group_id))
         from begun, unnest(array['', 'discard']) as how",
    )
    .await;
    execute(&pool, "select taskq.seal_group(1)").await;
    drain(all(&pool), &pool).await;
    assert_eq!(told(&pool).await, ["sql: 2 = 1 1 0 0 0 0 0"]);
}

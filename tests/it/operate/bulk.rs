//! All that match: frozen, then done in parts, whatever happens meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::PgPool;
use taskq::OperateError;
use taskq::operate::{Bulk, Filter, Operator};

use crate::support::{database, execute, leave_behind, one, states, until};

fn filter(text: &str) -> Filter {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn operator(pool: &PgPool) -> Operator {
    taskq::operate(pool).as_user("ada")
}

async fn run(pool: &PgPool, frozen: &Bulk) -> Bulk {
    let ended = operator(pool)
        .run_bulk(frozen.bulk_id, |_| ())
        .await
        .expect("it runs");
    assert_eq!(
        ended.frozen,
        ended.done + ended.skipped + ended.failed,
        "{ended}"
    );
    assert!(ended.ended_at.is_some());
    ended
}

#[tokio::test]
async fn what_runs_is_cancelled_too_and_its_outcome_does_not_count() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.task (task_type) select 'a' from generate_series(1, 10)",
    )
    .await;
    leave_behind(&pool).await;
    execute(
        &pool,
        "insert into taskq.task (task_type) select 'a' from generate_series(1, 10)",
    )
    .await;
    let some = operator(&pool)
        .cancel_all(&filter("id:1,2,3,11,12"))
        .because("wrong")
        .await;
    assert_eq!(run(&pool, &some.expect("frozen")).await.done, 5);
    let left: i64 = one(
        &pool,
        "select (cardinality(task_ids) - cardinality(done))::bigint from taskq.lease",
    )
    .await;
    assert_eq!(left, 7);
    let error: String = one(
        &pool,
        "select string_agg(distinct errors -> -1 ->> 'error', '|') from taskq.dead where state = 'cancelled'",
    )
    .await;
    assert_eq!(error, "cancelled by ada: wrong");
    // With a state, what runs is not touched.
    let waiting = operator(&pool)
        .cancel_all(&filter("state:waiting"))
        .await
        .expect("frozen");
    assert_eq!(run(&pool, &waiting).await.done, 8);
    let rest = operator(&pool)
        .cancel_all(&filter(""))
        .await
        .expect("frozen");
    assert_eq!(run(&pool, &rest).await.done, 7);
    assert_eq!(states(&pool).await, [("cancelled".into(), 20)].into());
    assert_eq!(
        one::<i64>(&pool, "select count(*) from taskq.lease").await,
        0
    );
}

/// So many dead tasks of this state, with ids from 1.
async fn dead(pool: &PgPool, count: i64, state: &'static str) {
    sqlx::query(
        "insert into taskq.dead (task_id, task_type, payload, queue, priority, created_at, attempts, crashes, state, metadata)
         select n, 'a', jsonb_build_object('n', n), 'mail', 3, now() - interval '1 day', 7, 1, $2,
             '{\"task.expires\": 1, \"a\": 1}'
         from generate_series(1, $1) as n",
    )
    .bind(count)
    .bind(state)
    .execute(pool)
    .await
    .expect("dead");
}

#[tokio::test]
async fn a_refused_row_stops_none_of_its_neighbours() {
    let (_database, pool) = database().await;
    dead(&pool, 5_000, "discarded").await;
    // A rule of a user's.
    execute(
        &pool,
        "create function refuse() returns trigger language plpgsql as
             'begin raise exception ''no room for %'', new.task_id; end';
         create trigger refuse before insert on taskq.task for each row when (new.task_id % 50 = 0) execute function refuse()",
    )
    .await;
    let frozen = operator(&pool)
        .retry_all(&filter("state:dead"))
        .because("mended")
        .await
        .expect("frozen");
    let ended = run(&pool, &frozen).await;
    assert_eq!((ended.done, ended.skipped, ended.failed), (4_900, 0, 100));
    let failures = operator(&pool)
        .bulk_failures(frozen.bulk_id)
        .await
        .expect("readable");
    assert_eq!(failures.len(), 100);
    assert_eq!(
        (failures[0].task_id, failures[0].error.as_str()),
        (50, "no room for 50")
    );
    let as_before: i64 = one(
        &pool,
        "select count(*) from taskq.task
         where attempts = 0 and crashes = 0 and priority = 3 and queue = 'mail' and metadata = '{\"a\": 1}'
           and payload = jsonb_build_object('n', task_id) and created_at < now() - interval '23 hours'",
    )
    .await;
    assert_eq!(as_before, 4_900);
    let audit: (String, String, String, i64) = sqlx::query_as(
        "select audit.by, audit.verb, audit.reason, bulk.failed from taskq.audit join taskq.bulk using (bulk_id)",
    )
    .fetch_one(&pool)
    .await
    .expect("one row for all");
    assert_eq!(audit, ("ada".into(), "retry".into(), "mended".into(), 100));
}

#[tokio::test]
async fn a_retry_leaves_cancelled_tasks_alone_unless_the_filter_names_them() {
    let (_database, pool) = database().await;
    dead(&pool, 10, "cancelled").await;
    let count = async |text: &str| {
        let filter = filter(text);
        operator(&pool)
            .retry_all(&filter)
            .count()
            .await
            .expect("counted")
    };
    assert_eq!(count("type:a").await, 0);
    assert_eq!(count("type:a state:dead").await, 10);
    for (text, says) in [
        (
            "state:running",
            "there is nothing to retry where a task is running",
        ),
        (
            "state:dead,completed",
            "nothing to retry where a task is completed",
        ),
    ] {
        match operator(&pool).retry_all(&filter(text)).await {
            Err(OperateError::Refused { message }) => assert!(message.contains(says), "{message}"),
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn what_was_frozen_and_is_elsewhere_now_is_skipped() {
    let (_database, pool) = database().await;
    dead(&pool, 6, "discarded").await;
    let frozen = operator(&pool)
        .discard_all(&filter("type:a"))
        .await
        .expect("frozen");
    operator(&pool).retry(1).await.expect("retried");
    operator(&pool).discard(2).await.expect("discarded");
    let ended = run(&pool, &frozen).await;
    assert_eq!((ended.done, ended.skipped), (4, 2));
    assert_eq!(states(&pool).await, [("waiting".into(), 1)].into());
}

#[tokio::test]
async fn waiting_tasks_are_rescheduled_and_dead_ones_are_not() {
    let (_database, pool) = database().await;
    dead(&pool, 2, "discarded").await;
    execute(&pool, "insert into taskq.task (task_id, task_type) overriding system value select n, 'b' from generate_series(11, 13) as n").await;
    let at = "2100-01-01T00:00:00Z".parse().expect("a time");
    let frozen = operator(&pool)
        .reschedule_all(&filter(""), at)
        .await
        .expect("frozen");
    assert_eq!(run(&pool, &frozen).await.done, 3);
    let put_off: i64 = one(
        &pool,
        "select count(*) from taskq.task where run_at = '2100-01-01 00:00+00'",
    )
    .await;
    assert_eq!(put_off, 3);
    let now = operator(&pool)
        .retry_all(&filter("state:scheduled"))
        .await
        .expect("frozen");
    assert_eq!(run(&pool, &now).await.done, 3);
    assert_eq!(
        one::<i64>(
            &pool,
            "select count(*) from taskq.task where run_at <= now()"
        )
        .await,
        3
    );
}

#[tokio::test]
async fn one_that_was_stopped_or_whose_process_died_goes_on_where_it_was() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.task (task_type) select 'a' from generate_series(1, 10000)",
    )
    .await;
    let frozen = operator(&pool)
        .cancel_all(&filter("type:a"))
        .await
        .expect("frozen");
    // It dies with a part under way: the call is dropped.
    let parts = Arc::new(AtomicBool::new(false));
    let noted = Arc::clone(&parts);
    let stopping = operator(&pool);
    let dying = stopping.run_bulk(frozen.bulk_id, move |_| {
        noted.store(true, Ordering::Relaxed)
    });
    tokio::select! {
        ended = dying => panic!("{ended:?}"),
        () = until("a part is done", async || parts.load(Ordering::Relaxed)) => {}
    }
    let bulk = operator(&pool)
        .bulk(frozen.bulk_id)
        .await
        .expect("readable")
        .expect("there");
    assert!(
        bulk.left() > 0 && bulk.done >= 1_000 && bulk.ended_at.is_none(),
        "{bulk}"
    );
    // Somebody stops it from elsewhere.
    stop(&pool, frozen.bulk_id).await;
    let rests = operator(&pool).bulks().await.expect("readable").remove(0);
    assert!(rests.stopped_at.is_some() && rests.left() > 0);
    // Two go on together.
    let (first, second) = tokio::join!(run(&pool, &frozen), run(&pool, &frozen));
    assert_eq!((first.done, second.done), (10_000, 10_000));
    let rows: i64 = one(&pool, "select count(*) from taskq.bulk_part").await;
    assert_eq!(rows, 0);
    let audit: String = one(
        &pool,
        "select string_agg(concat_ws(' ', verb, state), ', ' order by audit_id) from taskq.audit",
    )
    .await;
    assert_eq!(
        audit, "cancel, stop bulk, cancel stopped",
        "it began once, and went on once"
    );
}

/// Stops it, and makes sure that nothing is taken then.
async fn stop(pool: &PgPool, bulk_id: i64) {
    let stopped = operator(pool)
        .stop_bulk(bulk_id)
        .await
        .expect("stopped")
        .expect("there");
    assert!(stopped.stopped_at.is_some());
    // The call that was dropped may still be under way.
    until("the part under way has ended", async || {
        let active = "select count(*) from pg_stat_activity where query like '%step_bulk%' and state = 'active' and pid <> pg_backend_pid()";
        one::<i64>(pool, active).await == 0
    })
    .await;
    let before: i64 = one(pool, "select done from taskq.bulk").await;
    execute(pool, "select taskq.step_bulk(bulk_id) from taskq.bulk").await;
    assert_eq!(
        one::<i64>(pool, "select done from taskq.bulk").await,
        before
    );
}

#[tokio::test]
async fn what_was_frozen_and_never_begun_is_forgotten() {
    let (_database, pool) = database().await;
    dead(&pool, 3, "discarded").await;
    let frozen = operator(&pool)
        .discard_all(&filter(""))
        .await
        .expect("frozen");
    assert!(
        operator(&pool)
            .drop_bulk(frozen.bulk_id)
            .await
            .expect("dropped")
    );
    let frozen = operator(&pool)
        .discard_all(&filter(""))
        .await
        .expect("frozen");
    execute(
        &pool,
        "update taskq.bulk set frozen_at = now() - interval '2 days'",
    )
    .await;
    let next = operator(&pool)
        .discard_all(&filter(""))
        .await
        .expect("frozen");
    let bulks = operator(&pool).bulks().await.expect("readable");
    assert_eq!(bulks.len(), 1);
    assert_eq!(
        one::<i64>(&pool, "select count(distinct bulk_id) from taskq.bulk_part").await,
        1
    );
    match operator(&pool).run_bulk(frozen.bulk_id, |_| ()).await {
        Err(OperateError::Refused { message }) => {
            assert!(message.contains("there is no operation"), "{message}")
        }
        other => panic!("{other:?}"),
    }
    run(&pool, &next).await;
    assert!(
        !operator(&pool)
            .drop_bulk(next.bulk_id)
            .await
            .expect("not dropped"),
        "what was done is kept"
    );
    assert_eq!(states(&pool).await, [].into());
}

#[tokio::test]
async fn a_task_that_another_transaction_has_locked_is_waited_for_and_its_neighbours_are_not_held_up()
 {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.task (task_type) select 'a' from generate_series(1, 3)",
    )
    .await;
    let frozen = operator(&pool)
        .cancel_all(&filter(""))
        .await
        .expect("frozen");
    let mut tx = pool.begin().await.expect("a transaction");
    sqlx::query("select from taskq.task where task_id = 2 for update")
        .execute(&mut *tx)
        .await
        .expect("locked");
    let (ended, ()) = tokio::join!(run(&pool, &frozen), async {
        until("its neighbours are cancelled", async || {
            one::<i64>(&pool, "select done from taskq.bulk").await == 2
        })
        .await;
        tx.rollback().await.expect("given back");
    });
    assert_eq!(ended.done, 3);
}

#[tokio::test]
async fn a_row_that_a_trigger_refuses_with_any_code_stops_none_of_its_neighbours() {
    let (_database, pool) = database().await;
    dead(&pool, 20, "discarded").await;
    execute(
        &pool,
        "create function refuse() returns trigger language plpgsql as
             'begin raise exception ''not now'' using errcode = ''object_not_in_prerequisite_state''; end';
         create trigger refuse before insert on taskq.task for each row when (new.task_id = 3) execute function refuse()",
    )
    .await;
    let frozen = operator(&pool)
        .retry_all(&filter("state:dead"))
        .await
        .expect("frozen");
    let ended = run(&pool, &frozen).await;
    assert_eq!((ended.done, ended.skipped, ended.failed), (19, 0, 1));
}

#[tokio::test]
async fn what_ran_again_and_died_of_something_else_is_skipped() {
    let (_database, pool) = database().await;
    dead(&pool, 2, "discarded").await;
    let frozen = operator(&pool)
        .discard_all(&filter("state:dead"))
        .await
        .expect("frozen");
    execute(
        &pool,
        "update taskq.dead set finished_at = clock_timestamp() where task_id = 1",
    )
    .await;
    let ended = run(&pool, &frozen).await;
    assert_eq!((ended.done, ended.skipped, ended.failed), (1, 1, 0));
    assert_eq!(one::<i64>(&pool, "select task_id from taskq.dead").await, 1);
}

//! What cannot be kept completes all the same.

use std::sync::{Arc, Mutex};

use sqlx::query_scalar;
use taskq::task;

use super::{Kept, count_of, rescuer};
use crate::support::{Log, database, execute, leave_behind, one, until, while_working, worker};

#[tokio::test]
async fn a_completed_task_is_not_repeated_because_it_cannot_be_kept() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "alter table taskq.history add constraint nothing_of_two check (payload ->> 'usr_id' <> '2');
         insert into taskq.task (task_type, payload) select 'kept', jsonb_build_object('usr_id', n) from generate_series(1, 3) as n",
    )
    .await;
    let runs = Arc::new(Mutex::<Vec<i64>>::default());
    let work = worker(&pool).only::<(Kept,)>().state_arc(Arc::clone(&runs));
    while_working(work, async {
        until("ended", async || {
            count_of(&pool, "state in ('waiting', 'running')").await == 0
        })
        .await;
    })
    .await;
    let mut runs = runs.lock().expect("no panic").clone();
    runs.sort_unstable();
    assert_eq!(runs, [1, 2, 3]);
    assert_eq!(count_of(&pool, "state = 'completed'").await, 2);
}

#[task(result = "keep")]
async fn kept_with_effects(
    tx: &mut sqlx::PgConnection,
    runs: &Mutex<Vec<i64>>,
    usr_id: i64,
) -> Result<i64, sqlx::Error> {
    runs.lock().expect("no panic").push(usr_id);
    sqlx::query("insert into effect values ($1)")
        .bind(usr_id)
        .execute(tx)
        .await?;
    Ok(usr_id)
}

/// Runs three tasks with effects, of which Postgres keeps some. Returns those that it kept, how often each ran, and
/// what was logged.
async fn run_where_some_are_not_kept(obstacle: &'static str) -> (Vec<i64>, [usize; 3], String) {
    let (_database, pool) = database().await;
    execute(&pool, obstacle).await;
    execute(
        &pool,
        "create table effect (usr_id bigint);
         insert into taskq.task (task_type, payload, max_attempts) select 'kept_with_effects', jsonb_build_object('usr_id', n), 1 from generate_series(1, 3) as n",
    )
    .await;
    let log = Log::capture();
    let runs = Arc::new(Mutex::<Vec<i64>>::default());
    let work = worker(&pool)
        .only::<(KeptWithEffects,)>()
        .state_arc(Arc::clone(&runs));
    while_working(work, async {
        until("ended", async || {
            count_of(&pool, "state in ('waiting', 'running')").await == 0
        })
        .await;
    })
    .await;
    assert_eq!(count_of(&pool, "state <> 'completed'").await, 0);
    let effects = "select string_agg(usr_id::text, ' ' order by usr_id) from effect";
    assert_eq!(one::<String>(&pool, effects).await, "1 2 3");
    let kept = query_scalar(
        "select (payload ->> 'usr_id')::bigint from taskq.tasks where state = 'completed' and attempts = 1 and errors is null and result = payload -> 'usr_id' order by 1",
    );
    let kept = kept.fetch_all(&pool).await.expect("rows");
    let runs = runs.lock().expect("no panic").clone();
    let times = [1, 2, 3].map(|usr_id| runs.iter().filter(|ran| **ran == usr_id).count());
    (kept, times, log.text())
}

#[tokio::test]
async fn a_transactional_task_completes_without_being_kept_where_it_cannot_be_kept() {
    let (kept, times, log) = run_where_some_are_not_kept(
        "create function refuse() returns trigger language plpgsql as $$ begin
             if new.result = '2' then raise exception 'nothing of two'; end if;
             return new;
         end $$;
         create trigger refuse before insert on taskq.history for each row execute function refuse()",
    )
    .await;
    assert_eq!((kept.as_slice(), times), ([1, 3].as_slice(), [1, 2, 1]));
    let line =
        "Postgres refuses to keep a completed task; it runs again, and is not kept: nothing of two";
    assert_eq!(log.matches(line).count(), 1, "{log}");
}

#[tokio::test]
async fn transactional_tasks_complete_where_the_history_takes_nothing() {
    let (kept, times, log) = run_where_some_are_not_kept(
        "create function refuse() returns trigger language plpgsql as $$ begin
             raise exception 'no history' using errcode = '42501';
         end $$;
         create trigger refuse before insert on taskq.history for each row execute function refuse()",
    )
    .await;
    // This refusal may be about a role that a handler has taken: the worker first takes that back.
    assert!(kept.is_empty(), "{kept:?}");
    assert!(
        times.iter().all(|times| (2..=3).contains(times)),
        "{times:?}"
    );
    assert!(log.contains("is not kept: no history"), "{log}");
}

#[tokio::test]
async fn a_document_that_is_small_as_stored_is_measured_as_it_is_read() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "create table outbox (doc jsonb);
         insert into outbox select jsonb_build_object('usr_id', 1, 'text', repeat('x', 4200000));",
    )
    .await;
    let refused = "insert into taskq.task (task_type, payload) select 'welcome', doc from outbox";
    let error = sqlx::query(refused)
        .execute(&pool)
        .await
        .expect_err("too large");
    assert!(error.to_string().contains("task_payload_size"), "{error}");
    // One that waits since before that, or was let in by its owner, does not keep others from going on.
    execute(
        &pool,
        "alter table taskq.task drop constraint task_checks;
         insert into taskq.task (task_type, payload) select 'unknown', doc from outbox;
         insert into taskq.task (task_type, payload) select 'unknown', '{\"usr_id\": 1}' from generate_series(1, 30)",
    )
    .await;
    leave_behind(&pool).await;
    execute(&pool, "alter table taskq.task add constraint size_as_stored check (pg_column_size(payload) <= 1048576)").await;
    while_working(rescuer(&pool), async {
        until("rescued", async || {
            one::<i64>(&pool, "select count(*) from taskq.lease").await == 0
        })
        .await;
    })
    .await;
    assert_eq!(count_of(&pool, "state = 'waiting'").await, 30);
    assert_eq!(
        one::<i32>(
            &pool,
            "select length(payload ->> 'text') from taskq.refused"
        )
        .await,
        4_200_000
    );
}

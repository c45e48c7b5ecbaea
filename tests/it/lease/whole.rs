//! Tasks that are kept, and with which their whole lease completes: one statement writes all of them.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, PgPool, query_as};
use taskq::task;
use tokio::sync::Semaphore;

use crate::support::{Log, database, execute, one, until, while_working, worker};

#[task(result = "keep")]
async fn returns(gate: &Semaphore, number: i64) -> Result<Option<String>, &'static str> {
    gate.acquire().await.expect("never closed").forget();
    Ok((number != 3).then(|| format!("number \"{number}\"")))
}

#[task]
async fn returns_nothing(gate: &Semaphore, number: i64) {
    let _ = number;
    gate.acquire().await.expect("never closed").forget();
}

/// Notes with each row of the history which statement has inserted it.
const NOTES_STATEMENTS: &str = "
    create table told (task_id bigint, statement text);
    create function note() returns trigger language plpgsql as $$ begin
        insert into told values (new.task_id, substring(current_query() from '/\\* taskq ([a-z_]+) \\*/'));
        return null;
    end $$;
    create trigger note after insert on taskq.history for each row execute function note()";

async fn leases(pool: &PgPool) -> i64 {
    one(pool, "select count(*) from taskq.lease").await
}

/// Runs six tasks in one lease, all of whose outcomes come at once after something was done to it.
async fn run_six(pool: &PgPool, meanwhile: &'static str) {
    execute(pool, NOTES_STATEMENTS).await;
    execute(
        pool,
        "insert into taskq.task (task_type, payload, payload_version, errors, attempts, metadata)
         select
             case when n <= 3 then 'returns' else 'returns_nothing' end,
             jsonb_build_object('number', n),
             case when n = 2 then 1 else 0 end,
             case when n = 5 then '[{\"attempt\": 1, \"error\": \"no\"}]'::jsonb end,
             case when n = 5 then 1 else 0 end,
             case when n = 6 then '{\"mine\": true}'::jsonb end
         from generate_series(1, 6) as n",
    )
    .await;
    let gate = Arc::new(Semaphore::new(0));
    let worker = worker(pool)
        .only::<(Returns, ReturnsNothing)>()
        .state_arc(Arc::clone(&gate))
        .keep_completed(true);
    while_working(worker, async {
        until("running", async || {
            one::<i64>(
                pool,
                "select coalesce(sum(cardinality(task_ids)), 0) from taskq.lease",
            )
            .await
                == 6
        })
        .await;
        assert_eq!(leases(pool).await, 1);
        execute(pool, meanwhile).await;
        gate.add_permits(6);
        until("over", async || leases(pool).await == 0).await;
    })
    .await;
}

/// Returns which statement has kept each task, and with which result.
async fn kept(pool: &PgPool) -> Vec<(String, String, Option<String>)> {
    let told = "select payload ->> 'number', told.statement, result::text
        from taskq.history join told using (task_id) order by 1";
    query_as(AssertSqlSafe(told))
        .fetch_all(pool)
        .await
        .expect("rows")
}

#[tokio::test]
async fn what_was_in_the_lease_is_in_the_history_and_each_result_with_its_task() {
    let (_database, pool) = database().await;
    run_six(&pool, "select 1").await;
    let results = [
        Some(r#""number \"1\"""#),
        Some(r#""number \"2\"""#),
        Some("null"),
        None,
        None,
        None,
    ];
    let expected = (1..).zip(results).map(|(number, result): (i32, _)| {
        let statement = "complete_kept".to_owned();
        (number.to_string(), statement, result.map(str::to_owned))
    });
    assert_eq!(kept(&pool).await, expected.collect::<Vec<_>>());
    let rest: i64 = one(
        &pool,
        "select count(*) from taskq.history
         where attempts = 1 + (payload ->> 'number' = '5')::integer
           and task_type = case when (payload ->> 'number')::integer <= 3 then 'returns' else 'returns_nothing' end
           and payload_version = (payload ->> 'number' = '2')::integer
           and errors is not distinct from
               case when payload ->> 'number' = '5' then '[{\"attempt\": 1, \"error\": \"no\"}]'::jsonb end
           and metadata is not distinct from
               case when payload ->> 'number' = '6' then '{\"mine\": true}'::jsonb end
           and queue = 'default' and priority = 0
           and created_at < claimed_at and claimed_at < finished_at",
    )
    .await;
    assert_eq!(rest, 6);
}

#[tokio::test]
async fn a_task_that_somebody_has_taken_from_the_lease_is_not_kept_and_the_others_are() {
    let (_database, pool) = database().await;
    let log = Log::capture();
    // As a cancel does whose word has not come yet.
    let cancel = "with taken as (
             update taskq.lease set done = task_ids[2:2] returning task_ids[2] as task_id, task_types[2] as task_type,
                 payloads[2] as payload, created_ats[2] as created_at
         )
         insert into taskq.dead (task_id, task_type, payload, queue, priority, created_at, max_attempts, attempts, crashes, state)
         select task_id, task_type, payload, 'default', 0, created_at, null, 0, 0, 'cancelled' from taken";
    run_six(&pool, cancel).await;
    let kept = kept(&pool).await;
    let numbers: Vec<&str> = kept.iter().map(|(number, ..)| number.as_str()).collect();
    assert_eq!(numbers, ["1", "3", "4", "5", "6"]);
    assert!(
        kept.iter()
            .all(|(_, statement, _)| statement == "settle_kept")
    );
    assert!(log.text().contains("some outcomes came too late"));
}

#[tokio::test]
async fn one_that_cannot_be_kept_holds_up_none_of_its_lease() {
    let (_database, pool) = database().await;
    let obstacle = "alter table taskq.history add constraint nothing_of_two check (payload ->> 'number' not in ('2', '4'))";
    run_six(&pool, obstacle).await;
    let kept = kept(&pool).await;
    let numbers: Vec<&str> = kept.iter().map(|(number, ..)| number.as_str()).collect();
    assert_eq!(numbers, ["1", "3", "5", "6"]);
    assert_eq!(kept[0].2.as_deref(), Some(r#""number \"1\"""#));
    let refused: i64 = one(&pool, "select count(*) from taskq.refused").await;
    assert_eq!(refused, 0);
}

//! A row that no claim may take is put off, and its neighbours run.

use sqlx::query_as;
use taskq::WorkerError;

use super::{count_of, rescuer};
use crate::support::{Log, database, execute, one, states, until, while_working};

#[tokio::test]
async fn tasks_that_others_refer_to_are_put_off_and_their_neighbours_run() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "create table user_order (task_id bigint references taskq.task (task_id));
         insert into taskq.task (task_type, payload) select 'welcome', jsonb_build_object('usr_id', n) from generate_series(1, 40) as n;
         insert into user_order select task_id from taskq.task where task_id % 4 = 0;
         insert into taskq.task (task_type) select 'innocent' from generate_series(1, 100)",
    )
    .await;
    let log = Log::capture();
    while_working(rescuer(&pool), async {
        until("the others ran", async || {
            count_of(
                &pool,
                "state = 'waiting' and errors is null or state = 'running'",
            )
            .await
                == 0
        })
        .await;
    })
    .await;
    let waiting: Vec<(i64, String, bool, i32)> = query_as(
        "select task_id, errors -> -1 ->> 'error', run_at > now() + interval '1 minute', attempts from taskq.task order by task_id",
    )
    .fetch_all(&pool)
    .await
    .expect("rows");
    assert_eq!(waiting.len(), 10, "{waiting:?}");
    for (task_id, error, is_put_off, attempts) in waiting {
        assert!(task_id % 4 == 0 && is_put_off && attempts == 0);
        assert!(error.contains("does not let it be claimed"), "{error}");
        assert!(error.contains("violates foreign key constraint"), "{error}");
        assert!(
            error.contains(&format!("Key (task_id)=({task_id})")),
            "{error}"
        );
    }
    assert!(
        log.has("a foreign key refers to waiting tasks"),
        "{}",
        log.text()
    );
    execute(
        &pool,
        "drop table user_order; update taskq.task set run_at = now()",
    )
    .await;
    while_working(rescuer(&pool), async {
        until("the rest ran", async || states(&pool).await.is_empty()).await;
    })
    .await;
}

#[tokio::test]
async fn tasks_that_a_trigger_keeps_in_silence_are_put_off_and_their_neighbours_run() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.task (task_type, payload) select 'welcome', jsonb_build_object('usr_id', n) from generate_series(1, 40) as n;
         create function hold() returns trigger language plpgsql as $$ begin
             if (old.payload ->> 'usr_id')::integer <= 20 then return null; end if;
             return old;
         end $$;
         create trigger hold before delete on taskq.task for each row execute function hold()",
    )
    .await;
    let log = Log::capture();
    while_working(rescuer(&pool), async {
        until("the others ran, and the held are put off", async || {
            count_of(&pool, "errors is null or state = 'running'").await == 0
        })
        .await;
    })
    .await;
    let put_off = "run_at > now() + interval '1 minute' and attempts = 0 and (payload ->> 'usr_id')::integer <= 20 and errors -> -1 ->> 'error' like '%a trigger or a rule keeps its row%'";
    assert_eq!(count_of(&pool, put_off).await, 20, "{}", log.text());
    assert_eq!(count_of(&pool, "true").await, 20);
    let line = "Postgres does not let it be claimed: a trigger or a rule keeps its row";
    assert_eq!(log.text().matches(line).count(), 20, "{}", log.text());
}

#[tokio::test]
async fn a_worker_does_not_start_where_a_claim_would_delete_rows_of_others() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.task (task_type) values ('innocent');
         create table user_order (task_id bigint references taskq.task (task_id) on delete cascade);
         insert into user_order select task_id from taskq.task",
    )
    .await;
    let error = rescuer(&pool).build().await.expect_err("it refuses");
    let WorkerError::ForeignKey {
        constraint,
        table,
        action,
    } = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!(constraint, "user_order_task_id_fkey");
    assert_eq!(
        (table.as_str(), action.as_str()),
        ("user_order", "on delete cascade")
    );
    assert!(
        error
            .to_string()
            .contains("drop the constraint and keep the column"),
        "{error}"
    );
    assert_eq!(
        one::<i64>(&pool, "select count(*) from user_order").await,
        1
    );
}

#[tokio::test]
async fn a_task_that_can_be_neither_claimed_nor_put_off_does_not_stop_its_lane() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.task (task_type, payload) select 'welcome', jsonb_build_object('usr_id', n) from generate_series(1, 30) as n;
         create function keep_off() returns trigger language plpgsql as $$ begin raise exception 'hands off'; end $$;
         create trigger keep_off before delete or update on taskq.task
         for each row when ((old.payload ->> 'usr_id')::bigint in (1, 7)) execute function keep_off()",
    )
    .await;
    let log = Log::capture();
    while_working(rescuer(&pool), async {
        until("the others ran", async || {
            one::<i64>(&pool, "select count(*) from taskq.tasks").await == 2
        })
        .await;
    })
    .await;
    assert!(log.has("task passed over"), "{}", log.text());
    assert!(log.has("hands off"), "{}", log.text());
}

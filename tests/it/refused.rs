//! What Postgres refuses: a row of a user's constraint, trigger or encoding must never hold up its neighbours.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::{AssertSqlSafe, PgPool, query_as, query_scalar, raw_sql};
use taskq::testing::Database;
use taskq::{WorkerBuilder, WorkerError, migrate, task};

use crate::support::{
    Log, database, execute, leave_behind, one, states, until, while_working, worker,
};

#[task]
async fn welcome(usr_id: i64) -> Result<(), &'static str> {
    if usr_id < 0 {
        Err("no such user")
    } else {
        Ok(())
    }
}

#[task]
async fn innocent(count: &AtomicUsize) {
    count.fetch_add(1, Ordering::SeqCst);
}

#[task(result = "keep")]
pub(crate) async fn kept(runs: &Mutex<Vec<i64>>, usr_id: i64) -> Result<i64, &'static str> {
    runs.lock().expect("no panic").push(usr_id);
    Ok(usr_id)
}

fn rescuer(pool: &PgPool) -> WorkerBuilder {
    worker(pool)
        .only::<(Welcome, Innocent, Kept)>()
        .state(AtomicUsize::new(0))
        .state(Mutex::<Vec<i64>>::default())
        .lease(Duration::from_millis(500))
}

pub(crate) async fn count_of(pool: &PgPool, condition: &str) -> i64 {
    let sql = format!("select count(*) from taskq.tasks where {condition}");
    query_scalar(AssertSqlSafe(sql))
        .fetch_one(pool)
        .await
        .expect("a count")
}

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

#[tokio::test]
async fn a_task_whose_failure_is_refused_is_set_aside_with_what_postgres_said() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "create unique index one_welcome on taskq.task ((payload ->> 'usr_id')) where task_type = 'welcome';
         insert into taskq.task (task_type, payload, metadata) values ('welcome', '{\"usr_id\": -1}', '{\"of\": \"it\"}')",
    )
    .await;
    // A twin that waits from when the first one runs.
    execute(
        &pool,
        "create function twin() returns trigger language plpgsql as $$
         begin
             insert into taskq.task (task_type, payload, run_at) select 'welcome', '{\"usr_id\": -1}', now() + interval '1 hour';
             return null;
         end $$;
         create trigger twin after insert on taskq.lease for each row when (new.task_types[1] = 'welcome') execute function twin()",
    )
    .await;
    let log = Log::capture();
    while_working(rescuer(&pool), async {
        until("set aside", async || {
            count_of(&pool, "state = 'refused'").await == 1
        })
        .await;
        execute(
            &pool,
            "insert into taskq.task (task_type) select 'innocent' from generate_series(1, 20)",
        )
        .await;
        until("the others ran", async || {
            count_of(&pool, "task_type = 'innocent'").await == 0
        })
        .await;
    })
    .await;
    assert!(log.has("task set aside in `refused`"), "{}", log.text());
    let (attempts, error, refusal, metadata): (i32, String, serde_json::Value, serde_json::Value) =
        query_as("select attempts, errors -> -1 ->> 'error', refusal, metadata from taskq.refused")
            .fetch_one(&pool)
            .await
            .expect("one row");
    assert_eq!((attempts, error.as_str()), (1, "no such user"));
    assert_eq!(refusal["outcome"], "retry");
    assert_eq!(refusal["constraint"], "one_welcome");
    assert!(
        refusal["detail"]
            .as_str()
            .expect("a detail")
            .contains("already exists"),
        "{refusal}"
    );
    assert_eq!(metadata["of"], "it");
    // Still in its way: it stays where it is.
    let id: i64 = one(&pool, "select task_id from taskq.refused").await;
    let take_back = query_scalar::<_, Option<i64>>("select taskq.take_back($1)").bind(id);
    take_back
        .fetch_one(&pool)
        .await
        .expect_err("the twin still waits");
    assert_eq!(count_of(&pool, "state = 'refused'").await, 1);
    execute(&pool, "drop index taskq.one_welcome").await;
    let take_back = query_scalar::<_, Option<i64>>("select taskq.take_back($1)").bind(id);
    assert_eq!(
        take_back.fetch_one(&pool).await.expect("taken back"),
        Some(id)
    );
    assert_eq!(count_of(&pool, "state = 'refused'").await, 0);
    assert_eq!(
        count_of(
            &pool,
            "task_type = 'welcome' and state = 'waiting' and attempts = 1"
        )
        .await,
        1
    );
}

#[tokio::test]
async fn a_lease_is_rescued_though_one_of_its_tasks_is_refused() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.task (task_type, payload) select 'unknown', jsonb_build_object('usr_id', n) from generate_series(1, 50) as n",
    )
    .await;
    leave_behind(&pool).await;
    execute(
        &pool,
        "create unique index one_each on taskq.task ((payload ->> 'usr_id'));
         insert into taskq.task (task_type, payload) values ('unknown', '{\"usr_id\": 17}'), ('unknown', '{\"usr_id\": 33}')",
    )
    .await;
    let log = Log::capture();
    while_working(rescuer(&pool), async {
        until("rescued", async || {
            one::<i64>(&pool, "select count(*) from taskq.lease").await == 0
        })
        .await;
    })
    .await;
    assert_eq!(
        count_of(&pool, "state = 'waiting' and crashes = 1").await,
        48
    );
    let refused: Vec<(i32, String)> = query_as(
        "select crashes, refusal ->> 'outcome' from taskq.refused where payload ->> 'usr_id' in ('17', '33')",
    )
    .fetch_all(&pool)
    .await
    .expect("rows");
    assert_eq!(
        refused,
        [(1, "rescued".to_owned()), (1, "rescued".to_owned())]
    );
    assert!(
        log.has("its worker vanished, and Postgres refuses to take it back"),
        "{}",
        log.text()
    );
}

#[tokio::test]
async fn triggers_and_checks_that_refuse_an_end_set_aside_only_their_task() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "create function no_more() returns trigger language plpgsql as $$ begin raise exception 'no more of these' using detail = 'says the DBA'; end $$;
         create trigger no_more before insert on taskq.dead for each row when (new.task_type = 'welcome' and new.payload ->> 'usr_id' = '-1') execute function no_more();
         alter table taskq.task add constraint fresh_only check (attempts = 0 or payload ->> 'usr_id' <> '-2');
         insert into taskq.task (task_type, payload, max_attempts) values ('welcome', '{\"usr_id\": -1}', 1), ('welcome', '{\"usr_id\": -2}', 5), ('welcome', '{\"usr_id\": -3}', 1);
         insert into taskq.task (task_type, payload) select 'welcome', '{\"usr_id\": 1}' from generate_series(1, 20)",
    )
    .await;
    while_working(rescuer(&pool), async {
        until("ended", async || {
            count_of(&pool, "state in ('waiting', 'running')").await == 0
        })
        .await;
    })
    .await;
    let refused: Vec<(String, String, String)> = query_as(
        "select payload ->> 'usr_id', refusal ->> 'outcome', concat_ws(' ', refusal ->> 'message', refusal ->> 'detail') from taskq.refused order by 1",
    )
    .fetch_all(&pool)
    .await
    .expect("rows");
    assert_eq!(refused.len(), 2, "{refused:?}");
    assert_eq!(
        (refused[0].0.as_str(), refused[0].1.as_str()),
        ("-1", "discarded")
    );
    assert_eq!(refused[0].2, "no more of these says the DBA");
    assert_eq!(
        (refused[1].0.as_str(), refused[1].1.as_str()),
        ("-2", "retry")
    );
    assert!(refused[1].2.contains("fresh_only"), "{refused:?}");
    assert_eq!(count_of(&pool, "state = 'discarded'").await, 1);
}

/// Has a table refuse every statement that names it, whether that brings a row or not.
async fn close(pool: &PgPool, table: &str) {
    let trigger = format!(
        "create function closed() returns trigger language plpgsql as $$ begin raise 'it is closed'; end $$;
         create trigger closed before insert on taskq.{table} for each statement execute function closed()"
    );
    let closed = raw_sql(AssertSqlSafe(trigger)).execute(pool).await;
    closed.expect("closed");
}

#[tokio::test]
async fn a_table_that_refuses_every_statement_holds_no_outcome() {
    for table in ["task", "dead", "history"] {
        let (_database, pool) = database().await;
        execute(
            &pool,
            "insert into taskq.task (task_type, payload) values ('welcome', '{\"usr_id\": -1}');
             insert into taskq.task (task_type) select 'innocent' from generate_series(1, 20)",
        )
        .await;
        close(&pool, table).await;
        let log = Log::capture();
        while_working(rescuer(&pool), async {
            until("set aside", async || {
                states(&pool).await == [("refused".to_owned(), 1)].into()
            })
            .await;
        })
        .await;
        assert!(log.has("it is closed"), "{table}: {}", log.text());
        execute(&pool, "drop function closed cascade").await;
        execute(&pool, "select taskq.take_back(task_id) from taskq.refused").await;
        assert_eq!(
            count_of(&pool, "state = 'waiting' and attempts = 1").await,
            1
        );
    }
}

#[tokio::test]
async fn a_table_that_refuses_every_statement_keeps_no_lease_for_ever() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.task (task_type) select 'innocent' from generate_series(1, 20)",
    )
    .await;
    leave_behind(&pool).await;
    close(&pool, "dead").await;
    while_working(rescuer(&pool), async {
        until("set aside", async || {
            states(&pool).await == [("refused".to_owned(), 20)].into()
        })
        .await;
        execute(&pool, "drop function closed cascade").await;
        execute(&pool, "select taskq.take_back(task_id) from taskq.refused").await;
        until("run", async || states(&pool).await.is_empty()).await;
    })
    .await;
}

#[tokio::test]
async fn a_trigger_that_drops_rows_loses_no_task() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.task (task_type, payload, max_attempts) values ('welcome', '{\"usr_id\": -1}', 5), ('welcome', '{\"usr_id\": -2}', 1);
         insert into taskq.task (task_type, payload) select 'welcome', '{\"usr_id\": 1}' from generate_series(1, 20);
         create function drop_it() returns trigger language plpgsql as $$ begin return null; end $$;
         create trigger drop_it before insert on taskq.task for each row when (new.payload ->> 'usr_id' = '-1') execute function drop_it();
         create trigger drop_it before insert on taskq.dead for each row execute function drop_it()",
    )
    .await;
    while_working(rescuer(&pool), async {
        until("ended", async || {
            count_of(&pool, "state in ('waiting', 'running')").await == 0
        })
        .await;
    })
    .await;
    let refused: Vec<(String, String)> = query_as(
        "select payload ->> 'usr_id', refusal ->> 'message' from taskq.refused order by 1",
    )
    .fetch_all(&pool)
    .await
    .expect("rows");
    assert_eq!(refused.len(), 2, "{refused:?}");
    for (_, message) in refused {
        assert_eq!(message, "a trigger has kept a task from where it goes");
    }
}

#[tokio::test]
async fn a_role_with_a_short_time_limit_writes_outcomes_in_smaller_parts() {
    let (_database, pool) = database().await;
    // Each task takes its time to go back, so that all of them together take too long.
    execute(
        &pool,
        "create function slow() returns trigger language plpgsql as $$ begin perform pg_sleep(0.02); return new; end $$;
         create trigger slow before insert on taskq.task for each row when (new.crashes > 0) execute function slow();
         insert into taskq.task (task_type) select 'unknown' from generate_series(1, 60)",
    )
    .await;
    leave_behind(&pool).await;
    let name: String = one(&pool, "select current_database()::text").await;
    let limit = format!("alter database {name} set statement_timeout = '300ms'");
    raw_sql(AssertSqlSafe(limit))
        .execute(&pool)
        .await
        .expect("set");
    let limited = sqlx::postgres::PgPoolOptions::new()
        .max_connections(20)
        .connect_with(pool.connect_options().as_ref().clone())
        .await
        .expect("connected");
    while_working(rescuer(&limited), async {
        until("rescued", async || {
            one::<i64>(&pool, "select count(*) from taskq.lease").await == 0
        })
        .await;
    })
    .await;
    assert_eq!(
        count_of(&pool, "state = 'waiting' and crashes = 1").await,
        60
    );
}

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

#[tokio::test]
async fn an_error_that_the_database_cannot_store_is_written_without_what_it_cannot() {
    #[task(max_attempts = 1)]
    async fn arrow(end: String) -> Result<(), String> {
        Err(format!("from a \u{2192} to {end}"))
    }
    let database = Database::empty().await.expect("a database");
    let name: String = one(&database.pool_of(1), "select current_database()::text").await;
    let latin1 = format!("{name}_arrow");
    let create = format!(
        "create database {latin1} encoding 'LATIN1' lc_collate 'C' lc_ctype 'C' template template0"
    );
    raw_sql(AssertSqlSafe(create))
        .execute(&database.pool_of(1))
        .await
        .expect("made");
    let options = database
        .pool_of(1)
        .connect_options()
        .as_ref()
        .clone()
        .database(&latin1);
    let pool = sqlx::postgres::PgPoolOptions::new()
        .max_connections(20)
        .connect_with(options)
        .await
        .expect("connected");
    migrate(&pool).await.expect("migrated");
    execute(
        &pool,
        "insert into taskq.task (task_type, payload) values ('arrow', '{\"end\": \"b\"}'), ('arrow', jsonb_build_object('end', repeat('x', 9000)))",
    )
    .await;
    while_working(rescuer(&pool).only::<(Arrow,)>(), async {
        until("ended", async || {
            count_of(&pool, "state = 'discarded'").await == 2
        })
        .await;
    })
    .await;
    for text in [
        "= 'from a ? to b' and attempts = 1",
        "like 'from a ? to xxx%x...'",
    ] {
        let stored = format!("errors -> -1 ->> 'error' {text}");
        assert_eq!(count_of(&pool, &stored).await, 1, "{text}");
    }
    pool.close().await;
    raw_sql(AssertSqlSafe(format!(
        "drop database {latin1} with (force)"
    )))
    .execute(&database.pool_of(1))
    .await
    .expect("dropped");
}

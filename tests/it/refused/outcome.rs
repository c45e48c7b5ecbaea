//! An outcome that a table refuses sets its task aside, and no other.

use sqlx::{AssertSqlSafe, PgPool, query_as, query_scalar, raw_sql};
use taskq::testing::Database;
use taskq::{migrate, task};

use super::{count_of, rescuer};
use crate::support::{Log, database, execute, leave_behind, one, states, until, while_working};

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

//! Errors of taskq about a row that Postgres refuses: none tells what is in the row.

use std::error::Error;

use sqlx::{AssertSqlSafe, PgConnection, PgPool, query, raw_sql};
use taskq::json::RawValue;
use taskq::testing::{AdvanceError, ClusterError};
use taskq::{EnqueueError, MigrateError, OperateError, ResultError, WorkerError};

use crate::secrets::{CANARY, Connect, Lines, MARK, assert_clean, connecting};
use crate::support::{database, execute, one, until, while_working, worker};

/// All that somebody can print of an error.
fn printed(error: &(dyn Error + 'static)) -> String {
    let mut texts = vec![format!("{error} {error:?} {error:#?}")];
    let mut source = error.source();
    while let Some(error) = source {
        texts.push(format!("{error} {error:?}"));
        source = error.source();
    }
    texts.join("\n")
}

/// What somebody may put into the way of a row, and what an error still says of it.
const OBSTACLES: [(&str, &str, &[&str]); 5] = [
    (
        "alter table taskq.task add constraint no_canary check (strpos(payload::text, 'cAnAry') = 0)",
        "alter table taskq.task drop constraint no_canary",
        &["23514", "no_canary"],
    ),
    (
        "create unique index one_token on taskq.task ((payload ->> 'apiToken'));
         insert into taskq.task (task_type, payload, run_at) values ('other', '{\"apiToken\": \"cAnAry-7f3a\\\"x\"}', now() + interval '1 day')",
        "drop index taskq.one_token; delete from taskq.task where task_type = 'other'",
        &["23505", "one_token", "duplicate key"],
    ),
    (
        "alter table taskq.task add constraint numbers check ((payload ->> 'apiToken')::integer > 0) not valid",
        "alter table taskq.task drop constraint numbers",
        &["22P02", "invalid input syntax for type integer", "***"],
    ),
    // What a trigger says itself is its own word; the statement that it was made of is not.
    (
        "create function careless() returns trigger language plpgsql as $$ begin execute format('select 1 / 0, %L', new.payload); return new; end $$;
         create trigger careless before insert on taskq.task for each row execute function careless()",
        "drop function careless() cascade",
        &["22012", "division by zero"],
    ),
    (
        "create function no_more() returns trigger language plpgsql as $$ begin raise exception 'no more of these' using detail = 'says the DBA'; end $$;
         create trigger no_more before insert on taskq.task for each row execute function no_more()",
        "drop function no_more() cascade",
        &["P0001", "no more of these", "says the DBA"],
    ),
];

async fn enqueued(db: &mut PgConnection) -> Vec<EnqueueError> {
    let one = taskq::enqueue(&mut *db, connecting("")).await.map(drop);
    let many = taskq::enqueue_many(&mut *db, [connecting(""), connecting("")]).await;
    let copied = taskq::enqueue_copy(&mut *db, [connecting("")]).await;
    let errors = [one, many.map(drop), copied.map(drop)];
    errors
        .into_iter()
        .map(|it| it.expect_err("refused"))
        .collect()
}

fn raw(token: &str) -> Box<RawValue> {
    let payload = serde_json::json!({"usr_id": 1, "apiToken": token});
    RawValue::from_string(payload.to_string()).expect("JSON")
}

/// Asks an operator for what writes a payload.
async fn operated(pool: &PgPool, dead: i64) -> Vec<OperateError> {
    let operator = taskq::operate(pool);
    vec![
        operator.retry(dead).await.expect_err("refused"),
        operator.edit(dead, raw(CANARY)).await.expect_err("refused"),
        operator
            .enqueue("connect", raw(CANARY))
            .await
            .expect_err("refused"),
    ]
}

/// A dead task with a secret.
async fn dead(pool: &PgPool) -> i64 {
    let mut db = pool.acquire().await.expect("a connection");
    let task = taskq::enqueue(&mut db, connecting("")).await;
    execute(pool, "select taskq.cancel(task_id) from taskq.task").await;
    task.expect("enqueued").task_id
}

#[tokio::test]
async fn an_error_about_a_row_tells_the_rule_and_nothing_of_the_row() {
    let (_database, pool) = database().await;
    let dead = dead(&pool).await;
    let mut db = pool.acquire().await.expect("a connection");
    // Postgres then says the parameters in the context of each error.
    let tells = query("set log_parameter_max_length_on_error = -1");
    tells.execute(&mut *db).await.expect("set");
    for (put, take, says) in OBSTACLES {
        raw_sql(put).execute(&pool).await.expect("put up");
        let mut errors: Vec<Box<dyn Error>> = Vec::new();
        errors.extend(enqueued(&mut db).await.into_iter().map(Into::into));
        errors.extend(operated(&pool, dead).await.into_iter().map(Into::into));
        let payload = serde_json::json!({"usr_id": 1, "apiToken": CANARY}).to_string();
        let driver = async || {
            let sql =
                "insert into taskq.task (task_type, payload) values ('connect', $1::text::jsonb)";
            let refused = query(sql).bind(&payload).execute(&pool).await;
            refused.expect_err("refused")
        };
        errors.push(EnqueueError::from(driver().await).into());
        errors.push(ResultError::from(driver().await).into());
        errors.push(AdvanceError::from(driver().await).into());
        errors.push(ClusterError::from(driver().await).into());
        for error in errors {
            let text = printed(&*error);
            assert!(!text.contains(MARK), "{put}: {text}");
            for word in says {
                assert!(text.contains(word), "{put}: no {word} in {text}");
            }
        }
        execute(&pool, take).await;
    }
    let error = taskq::enqueue(&mut db, connecting("")).await;
    error.expect("nothing is in its way any more");
}

#[tokio::test]
async fn what_refuses_the_start_or_a_migration_tells_nothing_of_a_row() {
    let (database, pool) = database().await;
    let strict = format!(
        "create table strict (word text check (word = ''));
         create function strict() returns trigger language plpgsql as $$ begin insert into strict values ('{MARK}'); return new; end $$;
         create trigger strict before insert on taskq.secret_field for each statement execute function strict()"
    );
    raw_sql(AssertSqlSafe(strict))
        .execute(&pool)
        .await
        .expect("made");
    let error = worker(&pool).only::<(Connect,)>().build().await;
    let error: WorkerError = error.expect_err("refused");
    let text = printed(&error);
    assert!(text.contains("23514"), "{text}");
    assert_clean("the worker", &text);
    let event = format!(
        "create function at_ddl() returns event_trigger language plpgsql as $$ begin insert into public.strict values ('{MARK}'); end $$;
         create event trigger at_ddl on ddl_command_start execute function at_ddl()"
    );
    raw_sql(AssertSqlSafe(event))
        .execute(&pool)
        .await
        .expect("made");
    let schema = taskq::Schema::named("another").expect("a name");
    let error: MigrateError = schema.migrate(&pool).await.expect_err("refused");
    let text = printed(&error);
    assert!(text.contains("23514"), "{text}");
    assert_clean("the migration", &text);
    drop(database);
}

#[tokio::test]
async fn a_worker_logs_nothing_of_a_row_that_cannot_leave_its_lease() {
    for (put, says) in [
        (
            "create unique index one_token on taskq.dead ((payload ->> 'apiToken'));
             insert into taskq.dead (task_id, task_type, queue, priority, payload, created_at, state, attempts, crashes)
             values (-1, 'other', 'default', 0, '{\"apiToken\": \"cAnAry-7f3a\\\"x\"}', now(), 'discarded', 1, 0)",
            "duplicate key value violates unique constraint",
        ),
        (
            "create index numbers on taskq.dead (((payload ->> 'apiToken')::integer))",
            "invalid input syntax for type integer",
        ),
    ] {
        let (_database, pool) = database().await;
        raw_sql(put).execute(&pool).await.expect("made");
        let (lines, _guard) = Lines::capture();
        let mut db = pool.acquire().await.expect("a connection");
        taskq::enqueue(&mut db, connecting("fail")).await.expect("enqueued");
        drop(db);
        while_working(worker(&pool).only::<(Connect,)>(), async {
            until("it is set aside", async || {
                one::<i64>(&pool, "select count(*) from taskq.refused").await == 1
            })
            .await;
        })
        .await;
        let log = lines.text();
        assert!(log.contains(says), "{log}");
        assert_clean("the log", &log);
        let shown = taskq::operate(&pool);
        let id: i64 = one(&pool, "select task_id from taskq.refused").await;
        let shown = shown.show(id).await.expect("shown").expect("there");
        assert_clean("show", &format!("{shown:?}"));
    }
}

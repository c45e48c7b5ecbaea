//! Constraints that wait for the end of the transaction: what they refuse is the handler's, whatever the worker knows of them.

use std::sync::{Arc, Mutex};

use sqlx::{AssertSqlSafe, PgConnection, PgPool, query_as, query_scalar, raw_sql};
use taskq::{Group, Worker, task};

use crate::support::{count_effects, database, drain, effects, execute};
use crate::transaction::write;

/// The sessions on which handlers did something, in order.
type Sessions = Mutex<Vec<i32>>;

/// As many that a worker claims the next ones before it has run them all, and keeps its session.
const TASKS: i64 = 60;

/// Where one of them does something. Those before have left nothing, so what completes it tells nothing.
const FIRST: i64 = 20;
const LAST: i64 = 40;

#[task(max_attempts = 1)]
async fn does(
    tx: &mut PgConnection,
    pool: &PgPool,
    sessions: &Sessions,
    n: i64,
    beside: String,
    within: String,
) -> anyhow::Result<()> {
    raw_sql(AssertSqlSafe(beside)).execute(pool).await?;
    write(tx, n).await?;
    if !within.is_empty() {
        let session = query_scalar("select pg_backend_pid()").fetch_one(&mut *tx);
        let session = session.await?;
        sessions.lock().expect("no panic").push(session);
    }
    raw_sql(AssertSqlSafe(within)).execute(tx).await?;
    Ok(())
}

/// Runs tasks one after the other. The first says something beside its transaction, the last something within. Returns the
/// error of each that is dead, after looking that both had one session and that nothing else failed.
async fn among_others(pool: &PgPool, first: (&str, &str), last: (&str, &str)) -> Vec<String> {
    let mut tx = pool.begin().await.expect("begun");
    for n in 1..=TASKS {
        let (beside, within) = match n {
            FIRST => first,
            LAST => last,
            _ => ("", ""),
        };
        let enqueued = Does::enqueue(&mut tx, n, beside.into(), within.into()).await;
        enqueued.expect("enqueued");
    }
    tx.commit().await.expect("committed");
    let sessions = Arc::new(Sessions::default());
    let worker = Worker::builder(pool.clone())
        .queue("default", 1)
        .state(pool.clone())
        .state_arc(sessions.clone())
        .only::<(Does,)>();
    drain(worker, pool).await;
    let sessions = std::mem::take(&mut *sessions.lock().expect("no panic"));
    assert!(
        sessions.len() == 2 && sessions[0] == sessions[1],
        "both ran once, on one session: {sessions:?}"
    );
    let dead: Vec<(i32, String)> =
        query_as("select attempts, errors -> -1 ->> 'error' from taskq.dead order by task_id")
            .fetch_all(pool)
            .await
            .expect("read");
    assert_eq!(
        count_effects(pool).await,
        (TASKS - dead.len() as i64, TASKS - dead.len() as i64)
    );
    dead.into_iter()
        .map(|(attempts, error)| {
            assert_eq!(attempts, 1, "{error}");
            error
        })
        .collect()
}

#[tokio::test]
async fn a_constraint_that_a_session_does_not_know_of_is_the_handlers_failure() {
    let (_database, pool) = database().await;
    effects(&pool).await;
    let errors = among_others(
        &pool,
        (
            "create table later (n int unique deferrable initially deferred)",
            "select 1",
        ),
        ("", "insert into later values (1), (1)"),
    )
    .await;
    assert!(
        matches!(&errors[..], [error] if error.contains("later_n_key")),
        "{errors:?}"
    );
}

/// `set local` holds until the end of a transaction, and so for what is checked there.
#[tokio::test]
async fn what_is_deferred_sees_the_settings_of_the_handler() {
    let (_database, pool) = database().await;
    effects(&pool).await;
    execute(
        &pool,
        "create table later (n int);
         create function look() returns trigger language plpgsql as $$
         begin
             if current_setting('app.who', true) is distinct from 'the handler' then
                 raise exception 'checked as somebody else';
             end if;
             return null;
         end $$;
         create constraint trigger look after insert on later deferrable initially deferred
         for each row execute function look()",
    )
    .await;
    let within = "set local app.who = 'the handler'; insert into later values (1)";
    let errors = among_others(&pool, ("", within), ("", within)).await;
    assert!(errors.is_empty(), "{errors:?}");
}

#[tokio::test]
async fn who_adds_to_a_group_that_has_ended_is_told_so() {
    let (_database, pool) = database().await;
    effects(&pool).await;
    let mut tx = pool.begin().await.expect("begun");
    let over = Does {
        n: 0,
        beside: String::new(),
        within: String::new(),
    };
    let group = Group::begin(&mut tx, over).await.expect("begun");
    group.seal(&mut tx).await.expect("sealed");
    tx.commit().await.expect("it ends");
    execute(&pool, "delete from taskq.task").await;
    let errors = among_others(
        &pool,
        ("", "select 1"),
        (
            "",
            "insert into taskq.group_change values (pg_current_xact_id(), 1, 'added', 1)",
        ),
    )
    .await;
    assert!(
        matches!(&errors[..], [error] if error.contains("group 1 has ended")),
        "{errors:?}"
    );
}

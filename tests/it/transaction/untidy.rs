//! Completions tell nothing of a session on which handlers leave nothing: those that begin to leave something are noticed
//! all the same, and neither lose their task nor let another handler see what they left.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection, PgPool, query_scalar, raw_sql};
use taskq::{Worker, task};

use crate::support::{count_effects, database, drain, effects, execute};

/// What the handlers have done to their sessions, in order.
type Done = Mutex<Vec<String>>;

const NOTHING: &str = "select 1";

/// As many that a worker claims the next ones before it has run them all, and keeps its session.
const TASKS: i64 = 60;

#[task(max_attempts = 1)]
async fn leaves(tx: &mut PgConnection, done: &Done, habit: String) -> anyhow::Result<()> {
    let seen: Vec<String> = query_scalar(
        "select seen from (values
             (case when to_regclass('pg_temp.left_behind') is not null then 'table' end),
             (case when current_user <> session_user then 'role' end),
             (case when exists (select from pg_locks where locktype = 'advisory' and classid = 0 and pid = pg_backend_pid()) then 'lock' end)
         ) as seen (seen) where seen is not null",
    )
    .persistent(false)
    .fetch_all(&mut *tx)
    .await?;
    anyhow::ensure!(seen.is_empty(), "before {habit}: {seen:?}");
    sqlx::query("insert into effect values (1)")
        .execute(&mut *tx)
        .await?;
    done.lock().expect("no panic").push(habit.clone());
    raw_sql(AssertSqlSafe(habit)).execute(tx).await?;
    Ok(())
}

/// Runs two tasks that do something to their session among many that do nothing, one after the other. Returns what was done,
/// and the errors of the tasks that are dead.
async fn among_others(pool: &PgPool, habit: &str, keep: bool) -> (Vec<String>, Vec<String>) {
    let mut db = pool.acquire().await.expect("a connection");
    for n in 1..=TASKS {
        let does = if n % (TASKS / 2) == 0 { habit } else { NOTHING };
        Leaves::enqueue(&mut db, does.to_owned())
            .await
            .expect("enqueued");
    }
    drop(db);
    let done = Arc::new(Done::default());
    let worker = Worker::builder(pool.clone())
        .queue("default", 1)
        .keep_completed(keep)
        .state_arc(done.clone())
        .only::<(Leaves,)>();
    tokio::time::timeout(Duration::from_secs(60), drain(worker, pool))
        .await
        .expect("in time");
    let errors = query_scalar("select errors -> -1 ->> 'error' from taskq.dead order by task_id")
        .fetch_all(pool)
        .await
        .expect("read");
    (std::mem::take(&mut done.lock().expect("no panic")), errors)
}

#[tokio::test]
async fn who_begins_to_leave_something_runs_once_more_and_from_then_on_is_told_of() {
    let habits = [
        "create temporary table left_behind (n int)",
        "create temporary table left_behind (n int) on commit drop",
    ];
    let mut noticed = 0;
    for keep in [false, true] {
        for habit in habits {
            // With connections on which there never were temporary tables.
            let (_database, pool) = database().await;
            effects(&pool).await;
            let (done, errors) = among_others(&pool, habit, keep).await;
            assert_eq!(errors, [""; 0], "{habit}");
            // It commits once, however often it ran.
            assert_eq!(count_effects(&pool).await.0, TASKS, "{habit}");
            let ran = done.iter().filter(|does| *does == habit).count();
            assert!((2..=3).contains(&ran), "{habit}: {done:?}");
            noticed += ran - 2;
        }
    }
    // A session that was given back meanwhile is new, and told of what is left there.
    assert!(noticed > 0);
}

#[tokio::test]
async fn who_ends_the_transaction_after_others_that_did_not_is_told_so() {
    let (_database, pool) = database().await;
    effects(&pool).await;
    for how in ["commit", "rollback", "commit; begin", "rollback; begin"] {
        execute(&pool, "truncate effect; truncate taskq.dead").await;
        let (_, errors) = among_others(&pool, how, false).await;
        assert_eq!(errors.len(), 2, "{how}: {errors:?}");
        for error in errors {
            assert!(
                error.contains("ended its task's transaction"),
                "{how}: {error}"
            );
        }
    }
}

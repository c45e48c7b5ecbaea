//! Completions tell nothing of a session on which handlers leave nothing: those that begin to leave something are noticed
//! all the same, and neither lose their task nor let another handler see what they left.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection, PgPool, query_scalar, raw_sql};
use taskq::{Attempt, Group, Worker, task};

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

/// Runs when they are members of a group.
#[task]
async fn over(attempt: &Attempt, done: &Done) {
    let ended = attempt.group_ended().expect("the task of a group");
    let told = format!("{} of {}", ended.completed, ended.members);
    done.lock().expect("no panic").push(told);
}

/// What tasks leave behind when they have completed: for each there is a completion of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leaving {
    Nothing,
    History,
    Group,
}

/// Runs two tasks that do something to their session among many that do nothing, one after the other. Returns what was done,
/// and the errors of the tasks that are dead.
async fn among_others(pool: &PgPool, habit: &str, leaving: Leaving) -> (Vec<String>, Vec<String>) {
    let mut tx = pool.begin().await.expect("begun");
    let group = match leaving {
        Leaving::Group => Some(Group::begin(&mut tx, Over {}).await.expect("begun")),
        Leaving::Nothing | Leaving::History => None,
    };
    for n in 1..=TASKS {
        let does = if n % (TASKS / 2) == 0 { habit } else { NOTHING };
        let enqueued = Leaves::enqueue(&mut tx, does.to_owned());
        match group {
            Some(group) => enqueued.group(group).await.expect("enqueued"),
            None => enqueued.await.expect("enqueued"),
        };
    }
    if let Some(group) = group {
        group.seal(&mut tx).await.expect("sealed");
    }
    tx.commit().await.expect("committed");
    let done = Arc::new(Done::default());
    let worker = Worker::builder(pool.clone())
        .queue("default", 1)
        .keep_completed(leaving == Leaving::History)
        .state_arc(done.clone())
        .only::<(Leaves, Over)>();
    tokio::time::timeout(Duration::from_secs(60), drain(worker, pool))
        .await
        .expect("in time");
    let errors = query_scalar("select errors -> -1 ->> 'error' from taskq.dead order by task_id")
        .fetch_all(pool)
        .await
        .expect("read");
    (std::mem::take(&mut done.lock().expect("no panic")), errors)
}

/// Does the same with connections on which nothing was ever left, and looks that all is committed once, however often it ran.
async fn on_new_sessions(habit: &str, leaving: Leaving) -> (Vec<String>, Vec<String>) {
    let (_database, pool) = database().await;
    effects(&pool).await;
    execute(
        &pool,
        "do $$ begin create role may_nothing; exception when others then null; end $$;
         do $$ begin create role may_complete; exception when others then null; end $$;
         grant usage on schema taskq to may_complete;
         grant all on all tables in schema taskq to may_complete;
         grant all on effect to may_complete",
    )
    .await;
    let ran = among_others(&pool, habit, leaving).await;
    assert_eq!(count_effects(&pool).await.0, TASKS, "{habit}");
    if leaving == Leaving::Group {
        let told = format!("{TASKS} of {TASKS}");
        assert_eq!(ran.0.last(), Some(&told), "{habit}");
    }
    ran
}

#[tokio::test]
async fn who_begins_to_leave_something_runs_once_more_and_from_then_on_is_told_of() {
    let habits = [
        "create temporary table left_behind (n int)",
        "create temporary table left_behind (n int) on commit drop",
        "set role may_complete",
        "set session authorization may_complete",
        "set role may_nothing",
    ];
    for leaving in [Leaving::Nothing, Leaving::History, Leaving::Group] {
        let mut noticed = 0;
        for habit in habits {
            let (done, errors) = on_new_sessions(habit, leaving).await;
            assert_eq!(errors, [""; 0], "{habit}");
            let ran = done.iter().filter(|does| *does == habit).count();
            assert!((2..=3).contains(&ran), "{habit}: {done:?}");
            noticed += ran - 2;
        }
        // A session that was given back meanwhile is new, and told of what is left there.
        assert!(noticed > 0);
    }
}

#[tokio::test]
async fn who_leaves_locks_runs_once_and_they_are_released() {
    for leaving in [Leaving::Nothing, Leaving::History, Leaving::Group] {
        let habit = "select pg_advisory_lock(7), pg_advisory_lock_shared(8)";
        let (done, errors) = on_new_sessions(habit, leaving).await;
        assert_eq!(errors, [""; 0]);
        let ran = done.iter().filter(|does| *does == habit).count();
        assert_eq!(ran, 2, "{done:?}");
    }
}

#[tokio::test]
async fn who_ends_the_transaction_after_others_that_did_not_is_told_so() {
    let (_database, pool) = database().await;
    effects(&pool).await;
    for how in ["commit", "rollback", "commit; begin", "rollback; begin"] {
        execute(&pool, "truncate effect; truncate taskq.dead").await;
        let (_, errors) = among_others(&pool, how, Leaving::Nothing).await;
        assert_eq!(errors.len(), 2, "{how}: {errors:?}");
        for error in errors {
            assert!(
                error.contains("ended its task's transaction"),
                "{how}: {error}"
            );
        }
    }
}

/// Ends its transaction once, before the first completion of its session that tells nothing.
#[task(max_attempts = 1)]
async fn ends_first(tx: &mut PgConnection, done: &Done) -> Result<(), sqlx::Error> {
    let is_next: bool = query_scalar(
        "select count(*) = 1 and sum(custom_plans) = 1 from pg_prepared_statements
        where name like 'taskq\\_own\\_%'",
    )
    .persistent(false)
    .fetch_one(&mut *tx)
    .await?;
    let does = {
        let mut done = done.lock().expect("no panic");
        let ends = is_next && !done.iter().any(|does| does == "commit");
        let does = if ends { "commit" } else { NOTHING };
        done.push(does.to_owned());
        does
    };
    raw_sql(does).execute(tx).await?;
    Ok(())
}

#[tokio::test]
async fn a_session_whose_first_completion_without_an_answer_failed_goes_on() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let tasks = (0..TASKS).map(|_| EndsFirst {});
    taskq::enqueue_many(&mut db, tasks).await.expect("enqueued");
    drop(db);
    let done = Arc::new(Done::default());
    let worker = Worker::builder(pool.clone())
        .queue("default", 1)
        .state_arc(done.clone())
        .only::<(EndsFirst,)>();
    drain(worker, &pool).await;
    let done = done.lock().expect("no panic");
    // Each of the others once.
    let others = done.iter().filter(|does| *does == NOTHING).count();
    assert_eq!((others + 1, done.len()), (60, 60), "{done:?}");
}

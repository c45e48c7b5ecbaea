//! What an attempt is charged for: the failure of its handler, not that of its connection or its server.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use sqlx::{PgConnection, PgPool, query, query_scalar};
use taskq::task;
use taskq::testing::Cluster;
use tokio::time::sleep;

use super::{Given, begin};
use crate::support::{
    count_effects, database, drain, effects, execute, one, states, task as find, until,
    while_working, worker,
};
use crate::transaction::write;

/// Ends the connection that a handler works on, as an operator or a restart does.
async fn terminate(db: &mut PgConnection, pool: &PgPool) -> sqlx::Result<()> {
    let backend: i32 = query_scalar("select pg_backend_pid()")
        .fetch_one(db)
        .await?;
    let ended: bool = query_scalar("select pg_terminate_backend($1, 5000)")
        .bind(backend)
        .fetch_one(pool)
        .await?;
    assert!(ended);
    Ok(())
}

/// Runs until nothing is left, and asserts that everything completed, with one effect for each task.
async fn all_complete(worker: taskq::WorkerBuilder, pool: &PgPool, tasks: i64) {
    drain(worker, pool).await;
    let left = states(pool).await;
    assert!(left.is_empty(), "everything completed: {left:?}");
    assert_eq!(count_effects(pool).await, (tasks, tasks));
}

#[tokio::test]
async fn a_connection_that_is_lost_before_the_commit_uses_no_attempt() {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    #[task(max_attempts = 1)]
    async fn severed(tx: &mut Given, pool: &PgPool, n: i64) -> sqlx::Result<()> {
        let tx = begin(tx).await?;
        write(tx, n).await?;
        if RUNS.fetch_add(1, Ordering::Relaxed) < 2 {
            terminate(tx, pool).await?;
        }
        Ok(())
    }

    let (database, pool) = database().await;
    effects(&pool).await;
    Severed::enqueue(&mut pool.acquire().await.expect("a connection"), 1)
        .await
        .expect("enqueued");
    let worker = worker(&pool)
        .only::<(Severed,)>()
        .state(database.pool_of(2));
    all_complete(worker, &pool, 1).await;
    assert_eq!(RUNS.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_handler_whose_connection_is_lost_uses_no_attempt_whatever_it_returns() {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    #[task(max_attempts = 1)]
    async fn severed(tx: &mut Given, pool: &PgPool, how: String) -> anyhow::Result<()> {
        let tx = begin(tx).await?;
        let n = how.len().try_into()?;
        write(tx, n).await?;
        if RUNS.fetch_add(1, Ordering::Relaxed) < 4 {
            terminate(tx, pool).await?;
            match (how.as_str(), write(tx, n).await) {
                ("error", written) => written?,
                ("context", Err(error)) => Err(anyhow::Error::new(error).context("while writing"))?,
                ("text", Err(error)) => anyhow::bail!("{error}"),
                (_, written) => written.expect("written"),
            }
        }
        Ok(())
    }

    let (database, pool) = database().await;
    effects(&pool).await;
    let mut db = pool.acquire().await.expect("a connection");
    for how in ["error", "context", "text", "panic!"] {
        Severed::enqueue(&mut db, how.to_owned())
            .await
            .expect("enqueued");
    }
    drop(db);
    let worker = taskq::Worker::builder(pool.clone()).queue("default", 1);
    let worker = worker.only::<(Severed,)>().state(database.pool_of(2));
    all_complete(worker, &pool, 4).await;
}

#[tokio::test]
async fn a_handler_that_gives_its_task_up_is_obeyed_though_its_connection_is_lost() {
    #[task]
    async fn severed(tx: &mut Given, pool: &PgPool) -> anyhow::Result<()> {
        let tx = begin(tx).await?;
        terminate(tx, pool).await?;
        Err(taskq::outcome::discard("no such customer"))?
    }

    let (database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let task_id = Severed::enqueue(&mut db).await.expect("enqueued").task_id;
    drop(db);
    let worker = worker(&pool)
        .only::<(Severed,)>()
        .state(database.pool_of(2));
    drain(worker, &pool).await;
    let row = find(&pool, task_id).await.expect("dead");
    assert_eq!((row.state.as_str(), row.attempts), ("discarded", 1));
    assert!(row.error().contains("no such customer"), "{}", row.error());
}

#[tokio::test]
async fn a_completion_that_postgres_refuses_for_a_moment_uses_no_attempt() {
    #[task(max_attempts = 1)]
    async fn refused(tx: &mut Given, n: i64) -> sqlx::Result<()> {
        let tx = begin(tx).await?;
        write(tx, n).await
    }

    let (_database, pool) = database().await;
    effects(&pool).await;
    // Each once: a serialization failure, a deadlock, a full disk, a limit of the server's. Hand-backs, which
    // delete leases too, are let through.
    execute(
        &pool,
        "create sequence refusal;
         create function refuse() returns trigger language plpgsql as $$
         declare
             code text;
         begin
             if current_query() like '/* taskq accept */%' then
                 code := (array['40001', '40P01', '53100', '57014'])[nextval('refusal')];
             end if;
             if code is not null then
                 raise exception 'not now' using errcode = code;
             end if;
             return old;
         end $$;
         create trigger refuse before delete on taskq.lease for each row execute function refuse()",
    )
    .await;
    let mut db = pool.acquire().await.expect("a connection");
    Refused::enqueue(&mut db, 1).await.expect("enqueued");
    drop(db);
    all_complete(worker(&pool).only::<(Refused,)>(), &pool, 1).await;
    let refusals: i64 = one(&pool, "select last_value from refusal").await;
    assert_eq!(refusals, 5, "each once, and then none");
}

#[tokio::test]
async fn a_restart_of_the_server_uses_no_attempt() {
    #[task(max_attempts = 1)]
    async fn slow(tx: &mut Given, n: i64) -> sqlx::Result<()> {
        let tx = begin(tx).await?;
        write(tx, n).await?;
        sleep(Duration::from_secs(2)).await;
        Ok(())
    }

    let cluster = Cluster::private().await.expect("a server");
    let pool = cluster.pool("postgres", 20).await.expect("a pool");
    taskq::migrate(&pool).await.expect("migrated");
    effects(&pool).await;
    let mut db = pool.acquire().await.expect("a connection");
    for n in 0..3 {
        Slow::enqueue(&mut db, n).await.expect("enqueued");
    }
    drop(db);
    let running = "select count(*) from pg_stat_activity where state = 'idle in transaction'";
    while_working(worker(&pool).only::<(Slow,)>(), async {
        until("running", async || one::<i64>(&pool, running).await == 3).await;
        let data: String = one(&pool, "select current_setting('data_directory')").await;
        let lock = Path::new(&data).join("postmaster.pid");
        let postmaster = fs::read_to_string(&lock).expect("it runs");
        let postmaster = postmaster.lines().next().and_then(|id| id.parse().ok());
        let postmaster = postmaster.and_then(Pid::from_raw).expect("a process");
        // As `pg_ctl stop -m fast` does.
        kill_process(postmaster, Signal::INT).expect("told");
        until("down", async || !lock.exists()).await;
        cluster.restart().await.expect("restarted");
        until("over", async || {
            let left = query_scalar::<_, i64>(
                "select count(*) from taskq.tasks where state <> 'discarded'",
            );
            left.fetch_one(&pool).await.is_ok_and(|left| left == 0)
        })
        .await;
    })
    .await;
    let left = states(&pool).await;
    assert!(left.is_empty(), "everything completed: {left:?}");
    assert_eq!(count_effects(&pool).await, (3, 3));
}

#[tokio::test]
async fn a_failure_of_the_handler_is_charged_though_the_connection_fails_afterwards() {
    #[task(max_attempts = 1)]
    async fn declined(tx: &mut Given) -> anyhow::Result<()> {
        let tx = begin(tx).await?;
        query("select 1 / 0").execute(tx).await?;
        Ok(())
    }

    let (_database, pool) = database().await;
    // The record cannot be written on the handler's own connection, and is written on another.
    execute(
        &pool,
        "create sequence attempt;
         create function sever() returns trigger language plpgsql as $$
         begin
             if nextval('attempt') = 1 then
                 perform pg_terminate_backend(pg_backend_pid());
             end if;
             return null;
         end $$;
         create trigger sever after delete on taskq.lease for each statement execute function sever()",
    )
    .await;
    let mut db = pool.acquire().await.expect("a connection");
    let task_id = Declined::enqueue(&mut db).await.expect("enqueued").task_id;
    drop(db);
    drain(worker(&pool).only::<(Declined,)>(), &pool).await;
    let row = find(&pool, task_id).await.expect("dead");
    assert_eq!((row.state.as_str(), row.attempts), ("discarded", 1));
    assert!(row.error().contains("division by zero"), "{}", row.error());
}

#[tokio::test]
async fn a_handler_that_ends_its_own_connection_is_charged_at_last() {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    #[task(max_attempts = 1)]
    async fn severed(tx: &mut Given) -> sqlx::Result<()> {
        let tx = begin(tx).await?;
        RUNS.fetch_add(1, Ordering::Relaxed);
        query("select pg_terminate_backend(pg_backend_pid())")
            .execute(tx)
            .await
            .map(drop)
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let task_id = Severed::enqueue(&mut db).await.expect("enqueued").task_id;
    drop(db);
    drain(worker(&pool).only::<(Severed,)>(), &pool).await;
    let row = find(&pool, task_id).await.expect("dead");
    assert_eq!((row.state.as_str(), row.attempts), ("discarded", 1));
    assert!(
        row.error().contains("terminating connection"),
        "{}",
        row.error()
    );
    assert_eq!(RUNS.load(Ordering::Relaxed), 11, "ten times uncharged");
}

//! A broken morning: stages what goes wrong at three o'clock, so that you can find it and mend it.
//!
//! ```text
//! cargo run --example morning -- stage
//! ```
//!
//! It needs a database of yours in `DATABASE_URL`, best an empty one, and stays until Ctrl-C, since one of the troubles is
//! a transaction that it keeps open. Meanwhile look, in another terminal:
//!
//! ```text
//! cargo run --example morning -- doctor --patience 30s
//! cargo run --example morning -- top
//! ```
//!
//! The doctor names each trouble, and says what mends it: a paused queue, a type without a handler, five thousand dead
//! tasks of three causes, a transaction that stays open, a worker that was killed and what it left, a schedule that is
//! late, a limit of zero. Then start what is missing, and see all of it run:
//!
//! ```text
//! cargo run --example morning -- run
//! ```
//!
//! The program is also an example of how to mount the commands of taskq beside one of your own.

use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::Context;
use clap::Command;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection, PgConnection, PgPool};
use taskq::Worker;
use taskq::operate::Queue;
use tokio::process;
use tokio::time::{sleep, timeout};

/// How long the worker may take that is started to be killed.
const PATIENCE: Duration = Duration::from_secs(30);

#[taskq::task(queue = "mail")]
async fn send_mail(usr_id: i64) {
    tracing::debug!(usr_id, "sent");
}

#[taskq::task(queue = "reports")]
async fn write_report(month: String) {
    tracing::debug!(month, "written");
}

#[taskq::task(cron = "0 6 * * *")]
async fn nightly() {
    tracing::info!("the nightly report is on its way");
}

/// What kills its worker in the night: here it waits until somebody does.
#[taskq::task]
async fn resize_photo(photo_id: i64) {
    if std::env::var_os("HANG").is_some() {
        println!("photo {photo_id}");
        std::future::pending::<()>().await;
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let stage = Command::new("stage")
        .about("Breaks the morning, and keeps a transaction open until Ctrl-C");
    let morning = taskq::cli::command().name("morning").subcommand(stage);
    let matches = morning.get_matches();
    let url = std::env::var("DATABASE_URL").unwrap_or_default();
    let pool = match PgPoolOptions::new().max_connections(30).connect_lazy(&url) {
        Ok(pool) => pool,
        Err(error) => {
            eprintln!("DATABASE_URL: {error}");
            return ExitCode::FAILURE;
        }
    };
    if matches.subcommand_matches("stage").is_none() {
        let worker = Worker::builder(pool).queue("mail", 10).queue("reports", 2);
        return taskq::cli::execute(worker.queue("default", 10), &matches).await;
    }
    match staged(&pool).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn staged(pool: &PgPool) -> anyhow::Result<()> {
    taskq::migrate(pool).await?;
    kill_a_worker(pool).await?;
    let operator = taskq::operate(pool).as_user("ada");
    let mail = operator.pause(Queue("mail")).because("SMTP is down");
    mail.await?;
    let reports = operator.limit(Queue("reports")).concurrency(0);
    reports.because("the disk was full").await?;
    enqueue(pool).await?;
    let mut connection = pool.acquire().await?.detach();
    let forgotten = forget_a_transaction(&mut connection).await?;
    println!("staged; Ctrl-C ends the forgotten transaction of session {forgotten}");
    tokio::signal::ctrl_c().await?;
    // Somebody may have ended the session: that was the exercise.
    let _ = connection.close().await;
    Ok(())
}

/// Has a real worker claim a task, and kills it. It vanished two minutes ago, as far as the tables say.
async fn kill_a_worker(pool: &PgPool) -> anyhow::Result<()> {
    let mut db = pool.acquire().await?;
    for photo_id in 1..=3 {
        ResizePhoto::enqueue(&mut db, photo_id).await?;
    }
    let mut worker = process::Command::new(std::env::current_exe()?)
        .arg("run")
        .env("HANG", "1")
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let claimed = async {
        loop {
            let claimed =
                "select exists (select from taskq.lease) and exists (select from taskq.schedule)";
            if sqlx::query_scalar(claimed).fetch_one(pool).await? {
                return anyhow::Ok(());
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, claimed)
        .await
        .context("the worker has claimed nothing")??;
    worker.kill().await?;
    // The rows go back in time, and not the clock forward.
    for statement in [
        "update taskq.worker set seen_at = now() - interval '3 minutes', expires_at = now() - interval '2 minutes'",
        "update taskq.lease set claimed_at = now() - interval '3 minutes', expires_at = now() - interval '2 minutes'",
        "update taskq.schedule set next_tick = now() - interval '2 hours'",
    ] {
        sqlx::query(statement).execute(pool).await?;
    }
    Ok(())
}

/// Enqueues what waits in vain, and buries five thousand that died of three causes.
async fn enqueue(pool: &PgPool) -> anyhow::Result<()> {
    let mut db = pool.acquire().await?;
    for usr_id in 1..=40 {
        SendMail::enqueue(&mut db, usr_id).await?;
    }
    WriteReport::enqueue(&mut db, "2026-02".to_owned()).await?;
    for statement in [
        // A name that no program has.
        "insert into taskq.task (task_type, run_at) select 'send_fax', now() - interval '20 minutes' from generate_series(1, 7)",
        // Some worker lives, but knows nothing of faxes: a stand-in for a machine elsewhere.
        "insert into taskq.worker (worker_id, host, process_id, queues, task_types, expires_at)
         values (gen_random_uuid(), 'web1', 4242, '{default,mail,reports}',
                 '{send_mail,write_report,nightly,resize_photo}', now() + interval '1 hour')",
        "insert into taskq.dead
             (task_id, task_type, payload_version, payload, queue, priority, created_at, attempts, crashes, errors, state)
         select
             1000000 + n, 'send_mail', 1, jsonb_build_object('usr_id', n), 'mail', 0, now() - interval '5 hours', 25, 0,
             jsonb_build_array(jsonb_build_object('attempt', 25, 'at', now() - interval '3 hours', 'error',
                 case n % 3
                     when 0 then 'timed out after ' || n % 60 || ' s'
                     when 1 then 'usr ' || n || ' has no address'
                     else 'the server said 421, too busy'
                 end)),
             'discarded'
         from generate_series(1, 5000) as n",
    ] {
        sqlx::query(statement).execute(pool).await?;
    }
    Ok(())
}

/// Begins a transaction that nobody ends, and returns the process of the server that has it.
async fn forget_a_transaction(connection: &mut PgConnection) -> anyhow::Result<i32> {
    sqlx::query("begin").execute(&mut *connection).await?;
    let forgotten = "select pg_backend_pid() as forgotten from (select txid_current()) as began";
    Ok(sqlx::query_scalar(forgotten)
        .fetch_one(&mut *connection)
        .await?)
}

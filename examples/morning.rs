//! A broken morning: stages what goes wrong at three o'clock, so that you can find it and mend it.
//!
//! On the page, with a database that the program makes, until Ctrl-C:
//!
//! ```text
//! $ cargo run --example morning -- page
//! http://127.0.0.1:3001/?token=…
//! ```
//!
//! Or from the shell, with a database of yours in `DATABASE_URL`, best an empty one. It stays until Ctrl-C too, since one
//! of the troubles is a transaction that it keeps open. Meanwhile look, in another terminal:
//!
//! ```text
//! cargo run --example morning -- stage
//! cargo run --example morning -- doctor --patience 30s
//! cargo run --example morning -- top --patience 30s
//! ```
//!
//! The doctor names each trouble, and says what mends it: a paused queue, a type without a handler, five thousand dead
//! tasks of three causes, a transaction that stays open, a worker that was killed and what it left, a schedule
//! that no worker can read, a limit of zero. Then start the worker that is missing, and see all of it run; with the page one works already:
//!
//! ```text
//! cargo run --example morning -- run
//! ```
//!
//! The program is also an example of how to mount the commands of taskq beside some of your own.

use std::net::SocketAddr;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::Context;
use clap::Command;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection, PgConnection, PgPool};
use taskq::operate::Queue;
use taskq::testing::Database;
use taskq::{Worker, dashboard};
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
    let page = Command::new("page").about(
        "Breaks the morning in a database of its own, and serves the page on which it is mended",
    );
    let stage = Command::new("stage")
        .about("Breaks the morning in your database, and keeps a transaction open until Ctrl-C");
    let morning = taskq::cli::command()
        .name("morning")
        .subcommand(page)
        .subcommand(stage);
    let matches = morning.get_matches();
    let ended = match matches.subcommand_name() {
        Some("page") => on_a_page().await,
        name => {
            let url = std::env::var("DATABASE_URL").unwrap_or_default();
            match PgPoolOptions::new().max_connections(30).connect_lazy(&url) {
                Ok(pool) if name == Some("stage") => in_your_database(&pool, &url).await,
                Ok(pool) => return taskq::cli::execute(worker(pool), &matches).await,
                Err(error) => Err(error).context("DATABASE_URL"),
            }
        }
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn worker(pool: PgPool) -> taskq::WorkerBuilder {
    let worker = Worker::builder(pool).queue("mail", 10).queue("reports", 2);
    worker.queue("default", 10)
}

async fn on_a_page() -> anyhow::Result<()> {
    let database = Database::fresh().await?;
    let pool = database.pool();
    let connection = broken(&pool, &database.url()).await?;
    let address = std::env::var("ADDR").unwrap_or_else(|_| "127.0.0.1:3001".to_owned());
    let address: SocketAddr = address.parse()?;
    // Nobody waits five minutes for the transaction to be old.
    let operator = taskq::operate(&pool).patience(Duration::from_secs(20));
    let server = dashboard::server(operator).bind(address).await?;
    // Another machine has gone on.
    let worker = worker(database.pool()).release("1.4.2").build().await?;
    println!("{}", server.link());
    let (worked, served) = tokio::join!(
        worker.run_until(taskq::shutdown_signal()),
        server.run_until(taskq::shutdown_signal())
    );
    let _ = connection.close().await;
    worked?;
    Ok(served?)
}

async fn in_your_database(pool: &PgPool, url: &str) -> anyhow::Result<()> {
    taskq::migrate(pool).await?;
    let connection = broken(pool, url).await?;
    // Some worker lives, but knows nothing of faxes: a stand-in for a machine elsewhere.
    let elsewhere =
        "insert into taskq.worker (worker_id, host, process_id, queues, task_types, expires_at)
         values (gen_random_uuid(), 'web1', 4242, '{default,mail,reports}',
                 '{send_mail,write_report,nightly,resize_photo}', now() + interval '1 hour')";
    sqlx::query(elsewhere).execute(pool).await?;
    println!("staged; Ctrl-C ends the transaction that is left open");
    tokio::signal::ctrl_c().await?;
    // Somebody may have ended the session: that was the exercise.
    let _ = connection.close().await;
    Ok(())
}

/// Breaks the morning. Returns the connection whose transaction nobody ends.
async fn broken(pool: &PgPool, url: &str) -> anyhow::Result<PgConnection> {
    let operator = taskq::operate(pool).as_user("ada");
    let mail = operator.pause(Queue("mail")).because("SMTP is down");
    mail.await?;
    let reports = operator.limit(Queue("reports")).concurrency(0);
    reports.because("the disk was full").await?;
    kill_a_worker(pool, url).await?;
    enqueue(pool).await?;
    forget_a_transaction(pool).await
}

/// Has a real worker claim a task and find a schedule that somebody has spoilt, and kills it. It vanished two minutes ago,
/// as far as the tables say.
async fn kill_a_worker(pool: &PgPool, url: &str) -> anyhow::Result<()> {
    let spoilt = "select taskq.upsert_schedule('nightly', '0 6 * * *', 'nightly', '{}', 'Europe/Zurick', by => 'ada')";
    sqlx::query(spoilt).execute(pool).await?;
    let mut db = pool.acquire().await?;
    for photo_id in 1..=3 {
        ResizePhoto::enqueue(&mut db, photo_id).await?;
    }
    let mut worker = process::Command::new(std::env::current_exe()?)
        .arg("run")
        .env("DATABASE_URL", url)
        .env("HANG", "1")
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let claimed = async {
        loop {
            let claimed = "select exists (select from taskq.lease)
                 and exists (select from taskq.schedule where error is not null)";
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
        "update taskq.worker set started_at = now() - interval '9 hours', seen_at = now() - interval '3 minutes', expires_at = now() - interval '2 minutes'",
        "update taskq.lease set claimed_at = now() - interval '3 minutes', expires_at = now() - interval '2 minutes'",
        "update taskq.schedule set owed_after = now() - interval '1 day', error_at = now() - interval '2 hours'",
        "update taskq.pause set since = now() - interval '3 hours'",
        "update taskq.limit_rule set overridden_at = now() - interval '4 hours' where is_overridden",
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
        "update taskq.task set run_at = now() - interval '3 hours' where queue in ('mail', 'reports')",
        "insert into taskq.dead
             (task_id, task_type, payload_version, payload, queue, priority, created_at, attempts, crashes, errors, state, finished_at)
         select
             1000000 + n, 'send_mail', 1, jsonb_build_object('usr_id', n), 'mail', 0, now() - interval '7 hours', 25, 0,
             jsonb_build_array(jsonb_build_object('attempt', 25, 'at', now() - interval '5 hours 50 minutes' + n * interval '2 seconds', 'error',
                 case n % 3
                     when 0 then 'timed out after ' || n % 60 || ' s'
                     when 1 then 'usr ' || n || ' has no address'
                     else 'the server said 421, too busy'
                 end)),
             'discarded',
             now() - interval '5 hours 50 minutes' + n * interval '2 seconds'
         from generate_series(1, 5000) as n",
        // What workers have counted in the hour before, until the last of them was killed.
        "insert into taskq.minute (minute, queue, task_type, completed, failed, died, waits, runs)
         select date_trunc('minute', now()) - n * interval '1 minute', 'default', 'resize_photo',
                240 + (60 * sin(n / 7.0))::int + n * 37 % 50, 3 + n % 7, 0,
                array[10, 40, 60, 80, 30, 10, case when n < 14 then 60 else 5 end, case when n < 10 then 40 else 1 end],
                array[0, 20, 80, 90, 40, 12, 4, 1, case when n < 16 then 9 else 0 end]
         from generate_series(4, 58) as n",
        "insert into taskq.minute_total select minute, completed, failed, died, waits, runs from taskq.minute",
    ] {
        sqlx::query(statement).execute(pool).await?;
    }
    Ok(())
}

/// Begins a transaction that nobody ends.
async fn forget_a_transaction(pool: &PgPool) -> anyhow::Result<PgConnection> {
    let mut connection = pool.acquire().await?.detach();
    sqlx::query("set application_name = 'month_end.py'")
        .execute(&mut connection)
        .await?;
    sqlx::query("begin").execute(&mut connection).await?;
    let forgotten = "select pg_backend_pid() as forgotten from (select txid_current()) as began";
    sqlx::query(forgotten).execute(&mut connection).await?;
    Ok(connection)
}

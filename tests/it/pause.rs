//! Pause and resume: nothing of what is paused starts, whatever happens meanwhile, and afterwards it starts soon.

use std::time::Duration;

use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use taskq::operate::{Operator, Queue, Scope, TaskType};
use taskq::testing::{Cluster, Database};
use taskq::{OperateError, Schema, Worker, WorkerBuilder, task};
use tokio::time::{Instant, sleep};

use crate::support::{LIMIT, Log, database, drain, execute, one, states, until, while_working};

/// Leaves a row with the time of its start.
#[task(queue = "mail")]
async fn send(tx: &mut PgConnection) -> Result<(), sqlx::Error> {
    let insert = "insert into start (task_type, at) values ('send', clock_timestamp())";
    sqlx::query(insert).execute(tx).await?;
    Ok(())
}

#[task(queue = "mail")]
async fn print(tx: &mut PgConnection) -> Result<(), sqlx::Error> {
    let insert = "insert into start (task_type, at) values ('print', clock_timestamp())";
    sqlx::query(insert).execute(tx).await?;
    Ok(())
}

/// Records its start on a connection of its own, and takes a while.
#[task(queue = "mail")]
async fn deliver(pool: &PgPool, milliseconds: u64) -> Result<(), sqlx::Error> {
    let insert = "insert into start (task_type, at) values ('deliver', clock_timestamp())";
    sqlx::query(insert).execute(pool).await?;
    sleep(Duration::from_millis(milliseconds)).await;
    Ok(())
}

async fn stage() -> (Database, PgPool) {
    let (database, pool) = database().await;
    execute(
        &pool,
        "create table start (task_type text not null, at timestamptz not null)",
    )
    .await;
    (database, pool)
}

/// A worker whose polling cannot be what notices a resume in time.
fn mailer(pool: &PgPool) -> WorkerBuilder {
    mailer_of(pool, 4)
}

fn mailer_of(pool: &PgPool, concurrency: usize) -> WorkerBuilder {
    Worker::builder(pool.clone())
        .only::<(Send, Print, Deliver)>()
        .state(pool.clone())
        .queue("mail", concurrency)
        .queue("other", 4)
        .poll_interval(LIMIT)
}

fn operator(pool: &PgPool) -> Operator {
    taskq::operate(pool).as_user("ada")
}

async fn pause(pool: &PgPool, scope: impl Into<Scope>) {
    let former = operator(pool).pause(scope).because("SMTP is down").await;
    assert_eq!(former.expect("paused"), None);
}

async fn resume(pool: &PgPool, scope: impl Into<Scope>) {
    let former = operator(pool).resume(scope).await.expect("resumed");
    assert!(former.is_some());
}

async fn started(pool: &PgPool) -> i64 {
    one(pool, "select count(*) from start").await
}

async fn enqueue_by_sql(pool: &PgPool, task_type: &str, queue: &str, count: i32) {
    sqlx::query(
        "insert into taskq.task (task_type, queue, payload)
         select $1, $2, '{\"milliseconds\": 20}' from generate_series(1, $3)",
    )
    .bind(task_type)
    .bind(queue)
    .bind(count)
    .execute(pool)
    .await
    .expect("enqueued");
}

/// Waits until a worker has backed off to its poll interval.
async fn idle(pool: &PgPool) {
    until("listening", async || {
        one::<i64>(pool, "select count(*) from taskq.sleeper").await > 0
    })
    .await;
    sleep(Duration::from_secs(4)).await;
}

#[tokio::test]
async fn a_queue_is_paused_before_anybody_has_seen_it_and_across_restarts() {
    let (_database, pool) = stage().await;
    pause(&pool, Queue("mail")).await;
    enqueue_by_sql(&pool, "send", "mail", 3).await;
    for _ in 0..2 {
        let log = Log::capture();
        while_working(mailer(&pool), async {
            until("heard", async || log.has("queue mail paused since")).await;
            sleep(Duration::from_millis(500)).await;
        })
        .await;
        let text = log.text();
        assert_eq!(text.matches("nothing more starts").count(), 1, "{text}");
        assert!(text.contains("by ada: SMTP is down"), "{text}");
    }
    // As if it had been paused more than a day ago.
    execute(
        &pool,
        "update taskq.pause set since = now() - interval '25 hours'",
    )
    .await;
    while_working(mailer(&pool), sleep(Duration::from_millis(500))).await;
    assert_eq!(started(&pool).await, 0);
    resume(&pool, Queue("mail")).await;
    drain(mailer(&pool), &pool).await;
    assert_eq!(started(&pool).await, 3);
}

#[tokio::test]
async fn a_pause_survives_a_crash_of_postgres() {
    let cluster = Cluster::private().await.expect("a server");
    let pool = cluster.pool("postgres", 20).await.expect("a pool");
    taskq::migrate(&pool).await.expect("migrated");
    let start = "create table start (task_type text not null, at timestamptz not null)";
    execute(&pool, start).await;
    while_working(mailer(&pool), async {
        pause(&pool, Queue("mail")).await;
        // The server of tests writes its log late.
        execute(&pool, "checkpoint").await;
        cluster.kill().await.expect("killed");
        cluster.restart().await.expect("restarted");
        until("enqueued", async || {
            let insert = "insert into taskq.task (task_type, queue) values ('send', 'mail')";
            sqlx::query(insert).execute(&pool).await.is_ok()
        })
        .await;
        sleep(Duration::from_secs(2)).await;
        assert_eq!(started(&pool).await, 0, "paused");
        resume(&pool, Queue("mail")).await;
        until("started", async || started(&pool).await == 1).await;
    })
    .await;
}

#[tokio::test]
async fn nothing_starts_in_any_worker_after_the_pause_and_what_was_prefetched_waits_uncharged() {
    let (_database, pool) = stage().await;
    // Many fast ones, so that much is prefetched, and behind them slow ones, which are paused.
    let (fast, slow) = (4_000, 2_000);
    for (count, milliseconds, priority) in [(fast, 1, 0), (slow, 600, 1)] {
        sqlx::query(
            "insert into taskq.task (task_type, queue, payload, priority)
             select 'deliver', 'mail', jsonb_build_object('milliseconds', $1::int), $2
             from generate_series(1, $3)",
        )
        .bind(milliseconds)
        .bind(priority)
        .bind(count)
        .execute(&pool)
        .await
        .expect("enqueued");
    }
    let running = "select count(*) from taskq.tasks where state = 'running'";
    let paused = "select count(*) from taskq.pause";
    let second = while_working(mailer(&pool), async {
        until("paused", async || one::<i64>(&pool, paused).await == 1).await;
        sleep(Duration::from_secs(4)).await;
    });
    let first = while_working(mailer(&pool), async {
        until("both are slow", async || started(&pool).await >= 4_008).await;
        let prefetched: i64 = one(&pool, running).await;
        assert!(prefetched > 20, "{prefetched} are claimed");
        pause(&pool, Queue("mail")).await;
        until("over", async || one::<i64>(&pool, running).await == 0).await;
        sleep(Duration::from_secs(2)).await;
    });
    tokio::join!(first, second);
    // What is asked of a worker is a second. It takes milliseconds, and a slow one would start after 600.
    let late: Option<f64> = one(
        &pool,
        "select extract(epoch from max(at) - (select since from taskq.pause))::float8 from start",
    )
    .await;
    assert!(late.is_some_and(|late| late < 0.4), "started {late:?} late");
    let charged: i64 = one(
        &pool,
        "select count(*) from taskq.task where attempts > 0 or crashes > 0 or errors is not null",
    )
    .await;
    assert_eq!(charged, 0);
    let (waiting, started) = (states(&pool).await["waiting"], started(&pool).await);
    assert_eq!(waiting + started, 6_000, "each runs, or waits as before");
}

#[tokio::test]
async fn a_running_handler_goes_on_and_others_wait_behind_it() {
    let (_database, pool) = stage().await;
    sqlx::query("insert into taskq.task (task_type, queue, payload) values ('deliver', 'mail', '{\"milliseconds\": 2000}')")
        .execute(&pool)
        .await
        .expect("enqueued");
    while_working(mailer_of(&pool, 1).keep_completed(true), async {
        until("runs", async || started(&pool).await == 1).await;
        enqueue_by_sql(&pool, "deliver", "mail", 5).await;
        pause(&pool, Queue("mail")).await;
        until("completed", async || {
            states(&pool).await.get("completed") == Some(&1)
        })
        .await;
        sleep(Duration::from_millis(500)).await;
        assert_eq!(states(&pool).await["waiting"], 5);
    })
    .await;
    assert_eq!(started(&pool).await, 1);
}

#[tokio::test]
async fn a_resume_is_heard_at_once() {
    let (_database, pool) = stage().await;
    while_working(mailer(&pool), async {
        let mut best = Duration::MAX;
        for round in 1..=3 {
            pause(&pool, Queue("mail")).await;
            enqueue_by_sql(&pool, "send", "mail", 1).await;
            if round == 1 {
                idle(&pool).await;
            }
            sleep(Duration::from_millis(200)).await;
            assert_eq!(started(&pool).await, round - 1, "paused");
            let resumed: DateTime<Utc> = one(&pool, "select clock_timestamp()").await;
            resume(&pool, Queue("mail")).await;
            until("started", async || started(&pool).await == round).await;
            let at: DateTime<Utc> = one(&pool, "select max(at) from start").await;
            best = best.min((at - resumed).to_std().unwrap_or_default());
        }
        // The best of three, since other tests have the machine too.
        assert!(best < Duration::from_millis(100), "{best:?}");
    })
    .await;
}

#[tokio::test]
async fn a_pause_ends_by_itself_without_waiting_for_the_poll_interval() {
    let (_database, pool) = stage().await;
    for listens in [true, false] {
        execute(&pool, "truncate start").await;
        let log = Log::capture();
        enqueue_by_sql(&pool, "send", "mail", 1).await;
        let end: DateTime<Utc> = one(&pool, "select now() + interval '5 seconds'").await;
        let pausing = operator(&pool).pause(Queue("mail")).until(end);
        pausing.await.expect("paused");
        while_working(mailer(&pool).listen(listens), async {
            until("started", async || started(&pool).await == 1).await;
        })
        .await;
        let at: DateTime<Utc> = one(&pool, "select at from start").await;
        let late = (at - end).to_std().expect("not before it has ended");
        assert!(late < Duration::from_secs(1), "{listens}: {late:?}");
        assert!(log.has("queue mail is paused no more"), "{}", log.text());
        let pauses = operator(&pool).pauses().await.expect("a list");
        assert!(pauses.is_empty(), "{pauses:?}");
        let former = operator(&pool).resume(Queue("mail")).await;
        assert_eq!(former.expect("resumed"), None, "it was over");
    }
}

#[tokio::test]
async fn a_type_is_paused_in_all_queues_and_others_of_them_go_on() {
    let (_database, pool) = stage().await;
    while_working(mailer(&pool), async {
        pause(&pool, TaskType("send")).await;
        for queue in ["mail", "other"] {
            enqueue_by_sql(&pool, "send", queue, 2).await;
            enqueue_by_sql(&pool, "print", queue, 2).await;
        }
        until("printed", async || started(&pool).await == 4).await;
        sleep(Duration::from_millis(500)).await;
        let sent = "select count(*) from start where task_type = 'send'";
        assert_eq!(one::<i64>(&pool, sent).await, 0);
        // Neither may be paused.
        pause(&pool, Queue("other")).await;
        resume(&pool, TaskType("send")).await;
        until("sent", async || one::<i64>(&pool, sent).await == 2).await;
        sleep(Duration::from_millis(500)).await;
        assert_eq!(one::<i64>(&pool, sent).await, 2);
        resume(&pool, Queue("other")).await;
        until("sent", async || one::<i64>(&pool, sent).await == 4).await;
    })
    .await;
}

#[tokio::test]
async fn pausing_and_resuming_twice_are_no_errors_and_return_the_former_state() {
    let (_database, pool) = stage().await;
    let mail = || Queue("mail");
    pause(&pool, mail()).await;
    let first = operator(&pool).pauses().await.expect("a list").remove(0);
    assert_eq!(first.scope, Scope::Queue("mail".to_owned()));
    assert_eq!(
        (first.by.as_str(), first.reason.as_deref(), first.until),
        ("ada", Some("SMTP is down"), None)
    );
    let bob = taskq::operate(&pool).as_user("bob");
    let former = bob.pause(mail()).await.expect("paused again");
    assert_eq!(former.as_ref(), Some(&first));
    let second = bob.pauses().await.expect("a list");
    assert_eq!(second.len(), 1);
    assert_eq!((second[0].since, &*second[0].by), (first.since, "bob"));
    assert_eq!(second[0].reason, None, "the last word counts");
    let former = bob.resume(mail()).await.expect("resumed");
    assert_eq!(former.as_ref(), Some(&second[0]));
    assert_eq!(bob.resume(mail()).await.expect("resumed again"), None);
}

#[tokio::test]
async fn sql_pauses_and_resumes_with_the_same_words() {
    let (_database, pool) = stage().await;
    let role: String = one(&pool, "select session_user::text").await;
    execute(&pool, "select taskq.pause_queue('mail')").await;
    execute(
        &pool,
        "select taskq.pause_task_type('send', 'too many', until => now() + interval '1 hour', by => 'bob')",
    )
    .await;
    let pauses = operator(&pool).pauses().await.expect("a list");
    assert_eq!(pauses.len(), 2);
    assert_eq!((&pauses[0].by, &pauses[0].reason), (&role, &None));
    let until = pauses[1].until.expect("a time").format("%FT%TZ");
    assert!(
        pauses[1]
            .to_string()
            .starts_with("task type send paused since "),
        "{}",
        pauses[1]
    );
    assert!(
        (pauses[1].to_string()).ends_with(&format!(" by bob until {until}: too many")),
        "{}",
        pauses[1]
    );
    let again: String = one(&pool, "select reason from taskq.pause_task_type('send')").await;
    assert_eq!(again, "too many");
    execute(&pool, "select taskq.resume_queue('mail')").await;
    let former = "select count(*) from taskq.resume_task_type('send')";
    assert_eq!(one::<i64>(&pool, former).await, 1);
    assert_eq!(one::<i64>(&pool, former).await, 0);
    assert_eq!(
        one::<i64>(&pool, "select count(*) from taskq.pause").await,
        0
    );
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_a_reason() {
    let (_database, pool) = stage().await;
    let operator = operator(&pool);
    let refused = |result: Result<_, OperateError>| match result {
        Err(OperateError::Refused { message }) => message,
        other => panic!("{other:?}"),
    };
    let message = refused(operator.pause(Queue("")).await);
    assert_eq!(message, "the name of a queue has 1 to 200 bytes");
    let message = refused(operator.pause(TaskType(&"x".repeat(201))).await);
    assert_eq!(message, "the name of a task type has 1 to 200 bytes");
    let past = Utc::now() - Duration::from_secs(60);
    let message = refused(operator.pause(Queue("mail")).until(past).await);
    assert!(message.contains("would be over already"), "{message}");
    let message = refused(
        operator
            .pause(Queue("mail"))
            .because("x".repeat(10_001))
            .await,
    );
    assert!(message.contains("reason"), "{message}");
    let message = refused(operator.clone().as_user("").pause(Queue("mail")).await);
    assert!(message.contains("who pauses"), "{message}");
    let nowhere = Schema::named("nowhere").expect("a name");
    let error = operator.clone().schema(nowhere).pauses().await;
    let error = error.expect_err("no tables").to_string();
    assert!(error.contains("`taskq::migrate(&pool)`"), "{error}");
    let error = operator.schema(nowhere).pause(Queue("mail")).await;
    assert!(
        matches!(error, Err(OperateError::NoSchema { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_pause_is_of_one_schema() {
    let (_database, pool) = stage().await;
    let schema = Schema::named("mail_tasks").expect("a name");
    schema.migrate(&pool).await.expect("migrated");
    pause(&pool, Queue("mail")).await;
    execute(
        &pool,
        "insert into mail_tasks.task (task_type, queue) values ('send', 'mail')",
    )
    .await;
    let there = operator(&pool).schema(schema);
    while_working(mailer(&pool).schema(schema), async {
        until("started", async || started(&pool).await == 1).await;
        there.pause(Queue("mail")).await.expect("paused");
        execute(
            &pool,
            "insert into mail_tasks.task (task_type, queue) values ('send', 'mail')",
        )
        .await;
        idle_in(&pool).await;
        assert_eq!(started(&pool).await, 1, "paused");
        let resumed = Instant::now();
        there.resume(Queue("mail")).await.expect("resumed");
        until("started", async || started(&pool).await == 2).await;
        assert!(resumed.elapsed() < Duration::from_secs(5), "by a message");
    })
    .await;
    assert_eq!(operator(&pool).pauses().await.expect("a list").len(), 1);
}

async fn idle_in(pool: &PgPool) {
    until("listening", async || {
        one::<i64>(pool, "select count(*) from mail_tasks.sleeper").await > 0
    })
    .await;
    sleep(Duration::from_secs(4)).await;
}

/// Each change comes while nobody listens.
#[tokio::test]
async fn a_change_whose_notification_is_lost_takes_effect_too() {
    let (_database, pool) = stage().await;
    while_working(mailer(&pool), async {
        idle(&pool).await;
        execute(
            &pool,
            "begin;
             select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and query like '-- Tells what is paused%';
             select pg_sleep(0.1);
             select taskq.pause_queue('mail');
             insert into taskq.task (task_type, queue) values ('send', 'mail');
             commit",
        )
        .await;
        idle(&pool).await;
        assert_eq!(started(&pool).await, 0);
        execute(
            &pool,
            "begin;
             select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and state = 'idle';
             select pg_sleep(0.1);
             select taskq.resume_queue('mail');
             commit",
        )
        .await;
        let resumed = Instant::now();
        until("started", async || started(&pool).await == 1).await;
        assert!(resumed.elapsed() < Duration::from_secs(10), "after a reconnect");
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_does_not_listen_obeys_by_polling() {
    let (_database, pool) = stage().await;
    let log = Log::capture();
    let worker = mailer(&pool)
        .listen(false)
        .poll_interval(Duration::from_millis(200));
    enqueue_by_sql(&pool, "deliver", "mail", 20_000).await;
    while_working(worker, async {
        until("works", async || started(&pool).await > 100).await;
        pause(&pool, Queue("mail")).await;
        until("heard", async || log.has("queue mail paused since")).await;
        sleep(Duration::from_secs(2)).await;
        let before = started(&pool).await;
        sleep(Duration::from_secs(1)).await;
        assert_eq!(started(&pool).await, before, "paused");
        resume(&pool, Queue("mail")).await;
        until("goes on", async || started(&pool).await > before).await;
    })
    .await;
}

#[tokio::test]
async fn delays_ripen_and_enqueues_are_accepted_meanwhile() {
    let (_database, pool) = stage().await;
    while_working(mailer(&pool), async {
        pause(&pool, Queue("mail")).await;
        let mut db = pool.acquire().await.expect("a connection");
        taskq::enqueue(&mut db, Send {})
            .delay(Duration::from_secs(1))
            .await
            .expect("enqueued");
        drop(db);
        sleep(Duration::from_secs(2)).await;
        assert_eq!(started(&pool).await, 0);
        let resumed = Instant::now();
        resume(&pool, Queue("mail")).await;
        until("started", async || started(&pool).await == 1).await;
        assert!(resumed.elapsed() < Duration::from_secs(5));
    })
    .await;
}

#[tokio::test]
async fn the_census_says_of_tasks_that_nobody_serves_that_they_are_paused() {
    let (_database, pool) = stage().await;
    let log = Log::capture();
    pause(&pool, Queue("post")).await;
    enqueue_by_sql(&pool, "send", "post", 2).await;
    enqueue_by_sql(&pool, "unheard_of", "mail", 1).await;
    pause(&pool, TaskType("unheard_of")).await;
    while_working(
        mailer(&pool),
        until("counted", async || log.has("task type not implemented")),
    )
    .await;
    let text = log.text();
    for part in [
        "queue not served: post, 2 waiting of type send; queue post paused since ",
        "unheard_of, 1 waiting; task type unheard_of paused since ",
        " by ada: SMTP is down",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
}

#[tokio::test]
async fn what_was_paused_in_the_middle_runs_completely_and_once() {
    let (_database, pool) = stage().await;
    enqueue_by_sql(&pool, "deliver", "mail", 3_000).await;
    while_working(mailer_of(&pool, 20), async {
        for _ in 0..5 {
            let before = started(&pool).await;
            until("works", async || started(&pool).await > before + 50).await;
            pause(&pool, Queue("mail")).await;
            sleep(Duration::from_millis(100)).await;
            resume(&pool, Queue("mail")).await;
        }
        until("done", async || states(&pool).await.is_empty()).await;
    })
    .await;
    assert_eq!(started(&pool).await, 3_000, "each once");
}

#[tokio::test]
async fn a_worker_writes_no_pause() {
    let (_database, pool) = stage().await;
    enqueue_by_sql(&pool, "deliver", "mail", 500).await;
    drain(mailer(&pool), &pool).await;
    // Not even a row that is gone again.
    let bytes: i64 = one(&pool, "select pg_relation_size('taskq.pause')").await;
    assert_eq!(bytes, 0);
}

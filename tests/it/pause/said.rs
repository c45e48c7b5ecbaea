//! What an operator says and is told, from Rust and in SQL.

use std::time::Duration;

use sqlx::types::chrono::Utc;
use taskq::operate::{Queue, Schedule, Scope, TaskType};
use taskq::{OperateError, Schema};
use tokio::time::Instant;

use super::{enqueue_by_sql, idle_in, mailer, mailer_of, operator, pause, stage, started};
use crate::support::{Log, drain, execute, one, until, while_working};

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
async fn what_a_pause_leaves_running_is_counted_in_all_workers() {
    let (_database, pool) = stage().await;
    execute(
        &pool,
        r#"insert into taskq.task (task_type, queue, payload, metadata) values
           ('deliver', 'mail', '{"milliseconds": 3000}', '{}'),
           ('deliver', 'mail', '{"milliseconds": 3000}', '{"schedule.tick": {"schedule": "nightly", "at": "2026-01-01T00:00:00Z"}}')"#,
    )
    .await;
    let operator = operator(&pool);
    let one_more = mailer_of(&pool, 1);
    while_working(mailer_of(&pool, 1), async {
        while_working(one_more, async {
            until("both run", async || started(&pool).await == 2).await;
            enqueue_by_sql(&pool, "deliver", "mail", 5).await;
            pause(&pool, Queue("mail")).await;
            // What was prefetched is handed back.
            let running = async |scope: Scope| operator.running(scope).await.expect("a count");
            until("handed back", async || {
                running(Queue("mail").into()).await == 2
            })
            .await;
            for (scope, count) in [
                (Scope::from(TaskType("deliver")), 2),
                (Schedule("nightly").into(), 1),
                (Queue("deliver").into(), 0),
                (TaskType("mail").into(), 0),
                (Schedule("deliver").into(), 0),
            ] {
                assert_eq!(running(scope.clone()).await, count, "{scope}");
            }
            until("ended", async || running(Queue("mail").into()).await == 0).await;
        })
        .await;
    })
    .await;
    assert_eq!(started(&pool).await, 2);
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
async fn a_worker_writes_no_pause() {
    let (_database, pool) = stage().await;
    enqueue_by_sql(&pool, "deliver", "mail", 500).await;
    drain(mailer(&pool), &pool).await;
    // Not even a row that is gone again.
    let bytes: i64 = one(&pool, "select pg_relation_size('taskq.pause')").await;
    assert_eq!(bytes, 0);
}

//! Rows that no handler can run: of a type that nobody knows, in a queue that nobody serves, with a
//! payload that does not decode. None is in the way of the others, and each says what it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use taskq::task;

use crate::support::{
    Log, database, drain, execute, one, states, task as find, until, while_working, worker,
};

#[task]
async fn good(done: &AtomicUsize, _n: i64) {
    done.fetch_add(1, Ordering::SeqCst);
}

#[task]
async fn bad() {
    panic!("out of luck");
}

#[tokio::test]
async fn a_thousand_good_tasks_finish_as_if_the_others_were_not_there() {
    let log = Log::capture();
    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.task (task_type, priority) values ('goof', -1)",
    )
    .await;
    execute(&pool, r#"insert into taskq.task (task_type, payload, priority) values ('good', '{"n": "seven"}', -1)"#).await;
    execute(
        &pool,
        "insert into taskq.task (task_type, priority) values ('bad', -1)",
    )
    .await;
    let mut db = pool.acquire().await.expect("a connection");
    taskq::enqueue_many(&mut db, (0..1_000).map(|n| Good { n }))
        .await
        .expect("enqueued");
    let done = Arc::new(AtomicUsize::new(0));
    let worker = worker(&pool).only::<(Good, Bad)>().state_arc(done.clone());
    while_working(
        worker,
        until("settled", async || {
            done.load(Ordering::SeqCst) == 1_000
                && one::<i64>(&pool, "select count(*) from taskq.lease").await == 0
                && log.has("not implemented")
        }),
    )
    .await;

    assert_eq!(done.load(Ordering::SeqCst), 1_000);
    let waiting: Vec<(String, i32)> =
        sqlx::query_as("select task_type, attempts from taskq.task order by task_type")
            .fetch_all(&pool)
            .await
            .expect("waiting tasks");
    assert_eq!(waiting, [("bad".to_owned(), 1), ("goof".to_owned(), 0)]);
    assert!(
        log.has("task type not implemented: goof, 1 waiting; did you mean `good`?"),
        "{}",
        log.text()
    );
    let text = log.text();
    let place = text.find("panicked at tests/it/unknown.rs:").expect(&text);
    assert!(text[place..].contains(": out of luck"), "{text}");
    let invalid: String = one(
        &pool,
        "select errors -> 0 ->> 'error' from taskq.dead where state = 'invalid'",
    )
    .await;
    assert!(
        invalid.starts_with("payload does not decode at `n`: invalid type: string"),
        "{invalid}"
    );
    assert!(
        log.has("payload is invalid; the task is set aside"),
        "{}",
        log.text()
    );
}

#[tokio::test]
async fn an_invalid_payload_is_set_aside_with_its_path_and_uses_no_attempt() {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct User {
        email: String,
    }

    #[task]
    async fn salute(user: User) {
        let _ = user.email;
    }

    let (_database, pool) = database().await;
    execute(&pool, r#"insert into taskq.task (task_type, payload) values ('salute', '{"user": {"email": 5}}'), ('salute', '{}'), ('salute', '[]'), ('salute', 'null')"#).await;
    drain(worker(&pool).only::<(Salute,)>(), &pool).await;
    let errors: Vec<(i32, String)> = sqlx::query_as(
        "select attempts, errors -> 0 ->> 'error' from taskq.dead where state = 'invalid' order by task_id",
    )
    .fetch_all(&pool)
    .await
    .expect("dead tasks");
    assert_eq!(errors.len(), 4);
    assert!(errors.iter().all(|(attempts, _)| *attempts == 0));
    assert!(
        errors[0]
            .1
            .starts_with("payload does not decode at `user.email`: "),
        "{}",
        errors[0].1
    );
    assert!(
        errors[1].1.contains("missing field `user`"),
        "{}",
        errors[1].1
    );
}

#[tokio::test]
async fn a_task_without_arguments_runs_from_a_bare_insert() {
    #[task]
    async fn bare(done: &AtomicUsize) {
        done.fetch_add(1, Ordering::SeqCst);
    }

    let (_database, pool) = database().await;
    execute(&pool, "insert into taskq.task (task_type) values ('bare')").await;
    let done = Arc::new(AtomicUsize::new(0));
    drain(
        worker(&pool).only::<(Bare,)>().state_arc(done.clone()),
        &pool,
    )
    .await;
    assert_eq!(done.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_unknown_type_waits_untouched_for_a_worker_that_knows_it() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        r#"insert into taskq.task (task_type, payload) values ('good', '{"n": 1}')"#,
    )
    .await;
    let task_id: i64 = one(&pool, "select task_id from taskq.task").await;
    let done = Arc::new(AtomicUsize::new(0));
    execute(&pool, "insert into taskq.task (task_type) values ('bad')").await;
    // A worker of last week's release, which knows only `bad`.
    while_working(
        worker(&pool).only::<(Bad,)>(),
        until("attempted", async || {
            one::<i64>(
                &pool,
                "select count(*) from taskq.task where task_type = 'bad' and attempts = 1",
            )
            .await
                == 1
        }),
    )
    .await;
    let row = find(&pool, task_id).await.expect("waiting");
    assert_eq!(
        (row.state.as_str(), row.attempts, row.crashes),
        ("waiting", 0, 0)
    );
    // The next one knows it.
    let worker = worker(&pool).only::<(Good,)>().state_arc(done.clone());
    while_working(
        worker,
        until("run", async || done.load(Ordering::SeqCst) == 1),
    )
    .await;
}

#[tokio::test]
async fn a_row_under_an_alias_runs() {
    #[task(name = "send_newsletter", alias = "send_news_letter")]
    async fn newsletter(done: &AtomicUsize) {
        done.fetch_add(1, Ordering::SeqCst);
    }

    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.task (task_type) values ('send_news_letter'), ('send_newsletter')",
    )
    .await;
    let done = Arc::new(AtomicUsize::new(0));
    drain(
        worker(&pool)
            .only::<(Newsletter,)>()
            .state_arc(done.clone()),
        &pool,
    )
    .await;
    assert_eq!(done.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_queue_that_no_worker_serves_is_counted() {
    let log = Log::capture();
    let (_database, pool) = database().await;
    execute(&pool, "insert into taskq.task (task_type, queue) select 'bad', 'mail' from generate_series(1, 12)").await;
    while_working(
        worker(&pool).only::<(Bad,)>(),
        until("counted", async || log.has("queue not served")),
    )
    .await;
    assert!(
        log.has("queue not served: mail, 12 waiting of type bad"),
        "{}",
        log.text()
    );
    assert_eq!(states(&pool).await["waiting"], 12);
}

#[tokio::test]
async fn what_another_worker_serves_is_not_counted() {
    let log = Log::capture();
    let (_database, pool) = database().await;
    let registered = async || one::<i64>(&pool, "select count(*) from taskq.worker").await == 1;
    while_working(worker(&pool).only::<(Good,)>().state(AtomicUsize::new(0)), async {
        until("registered", registered).await;
        execute(&pool, "insert into taskq.task (task_type, run_at) values ('good', now() + interval '1 day'), ('nobodys', now())").await;
        let other = worker(&pool).only::<(Bad,)>().census_interval(Duration::from_secs(1));
        while_working(other, until("counted", async || log.has("nobodys, 1 waiting"))).await;
    })
    .await;
    assert!(!log.has("not implemented: good"), "{}", log.text());
    assert_eq!(
        one::<i64>(&pool, "select count(*) from taskq.worker").await,
        0,
        "both have unregistered"
    );
}

#[tokio::test]
async fn what_only_a_newer_release_decodes_is_counted_once_nobody_takes_it() {
    let log = Log::capture();
    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.task (task_type, payload_version, run_at)
         values ('bad', 7, now() - interval '2 minutes'), ('bad', 8, now() - interval '2 minutes'), ('bad', 7, now())",
    )
    .await;
    while_working(
        worker(&pool).only::<(Bad,)>(),
        until("counted", async || {
            log.has("newer than this worker decodes")
        }),
    )
    .await;
    assert!(log.has("bad of version 7, 2 waiting"), "{}", log.text());
}

//! What a worker refuses to start with, and what it says.

use std::time::Duration;

use sqlx::PgConnection;
use taskq::{Schema, Worker, WorkerError, task};

use crate::support::{Log, database, drain, execute, until, while_working, worker};

#[task]
async fn plain() {}

async fn refusal(worker: taskq::WorkerBuilder) -> String {
    worker
        .build()
        .await
        .expect_err("it must not start")
        .to_string()
}

#[tokio::test]
async fn missing_state_is_named_with_the_place_of_each_handler() {
    struct Mailer;
    trait Sms: Send + Sync {}

    #[task]
    async fn mails(_mailer: &Mailer) {}
    #[task]
    async fn texts(_sms: &dyn Sms) {}

    let (_database, pool) = database().await;
    let text = refusal(worker(&pool).only::<(Mails, Texts)>()).await;
    assert!(text.contains("task `mails` (tests/it/start.rs:"), "{text}");
    assert!(
        text.contains("needs state `") && text.contains("Mailer`"),
        "{text}"
    );
    assert!(
        text.contains("task `texts` (tests/it/start.rs:") && text.contains("dyn "),
        "{text}"
    );
    assert!(text.contains(".state("), "{text}");
}

#[tokio::test]
async fn two_handlers_with_one_name_are_both_named() {
    #[task(name = "twin", payload = TwinOne)]
    async fn first() {}
    #[task(name = "other_twin", alias = "twin", payload = TwinTwo)]
    async fn second() {}

    let (_database, pool) = database().await;
    let text = refusal(worker(&pool).only::<(TwinOne, TwinTwo)>()).await;
    assert!(
        text.starts_with("two handlers for `twin`: tests/it/start.rs:"),
        "{text}"
    );
    assert_eq!(text.matches("tests/it/start.rs:").count(), 2, "{text}");
}

#[tokio::test]
async fn a_handler_that_is_given_twice_is_said_to_be() {
    let (_database, pool) = database().await;
    let text = refusal(worker(&pool).only::<(Plain, Plain)>()).await;
    assert!(
        text.starts_with("the handler for `plain` (tests/it/start.rs:"),
        "{text}"
    );
    assert!(
        text.ends_with("is given twice: name it once in `.only::<(…)>()`"),
        "{text}"
    );
}

#[tokio::test]
async fn a_pool_too_small_for_the_concurrency_is_refused_with_the_number_needed() {
    #[task]
    async fn transactional(_tx: &mut PgConnection) {}

    let (database, _) = database().await;
    let small = database.pool_of(21);
    let with = |concurrency| Worker::builder(small.clone()).queue("default", concurrency);
    let text = refusal(with(16).only::<(Transactional,)>()).await;
    assert!(
        text.contains("the pool allows 21") && text.contains("may need 22 connections"),
        "{text}"
    );
    let error = with(16)
        .only::<(Transactional,)>()
        .build()
        .await
        .expect_err("refused");
    assert!(matches!(
        error,
        WorkerError::PoolTooSmall {
            needed: 22,
            for_handlers: 16,
            found: 21,
            ..
        }
    ));
    with(15)
        .only::<(Transactional,)>()
        .build()
        .await
        .expect("fifteen fit");
    with(16)
        .listen(false)
        .only::<(Transactional,)>()
        .build()
        .await
        .expect("sixteen fit without listening");
    with(500)
        .only::<(Plain,)>()
        .build()
        .await
        .expect("handlers without a transaction need none");
}

#[tokio::test]
async fn queues_that_no_handler_with_a_transaction_declares_need_no_connections_of_their_own() {
    #[task(queue = "books")]
    async fn books(_tx: &mut PgConnection) {}
    #[task(queue = "calls")]
    async fn calls() {}

    let (database, _) = database().await;
    let with = |connections| {
        Worker::builder(database.pool_of(connections))
            .queue("books", 5)
            .queue("calls", 500)
            .only::<(Books, Calls)>()
    };
    // Five of its own, one that listens, five for `books`, and one for what is enqueued elsewhere.
    with(12).build().await.expect("twelve are enough");
    let text = refusal(with(11)).await;
    assert!(
        text.contains("may need 12 connections") && text.contains("6 for handlers with `&mut tx`"),
        "{text}"
    );
}

#[tokio::test]
async fn settings_out_of_range_are_refused_by_name() {
    let (_database, pool) = database().await;
    let base = || Worker::builder(pool.clone()).only::<(Plain,)>();
    for (worker, part) in [
        (
            base().queue("mail", 0),
            "`mail` must run between 1 and 10000",
        ),
        (
            base().queue("mail", 1).queue("mail", 2),
            "`mail` is given twice",
        ),
        (base().queue("", 1), "`queue` must not be empty"),
        (
            base().lease(Duration::from_millis(1)),
            "`lease` must be between",
        ),
        (
            base().poll_interval(Duration::ZERO),
            "`poll_interval` must be between",
        ),
    ] {
        let text = refusal(worker).await;
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn tables_that_are_missing_or_of_another_version_are_refused_with_the_way_out() {
    let (_database, pool) = database().await;
    let none = Schema::named("nowhere").expect("a name");
    let text = refusal(worker(&pool).only::<(Plain,)>().schema(none)).await;
    assert!(
        text.contains("schema `nowhere` of this database has no task tables")
            && text.contains("taskq::migrate(&pool)"),
        "{text}"
    );

    execute(&pool, "delete from taskq.migration where version > 1").await;
    let text = refusal(worker(&pool).only::<(Plain,)>()).await;
    assert!(
        text.contains("have version 1") && text.contains("taskq::migrate(&pool)"),
        "{text}"
    );

    execute(
        &pool,
        "insert into taskq.migration values (2, 'lanes', 2), (3, 'crowds', 2), (1000, 'future', 2)",
    )
    .await;
    worker(&pool)
        .only::<(Plain,)>()
        .build()
        .await
        .expect("newer tables that it can work with");

    execute(
        &pool,
        "update taskq.migration set oldest_binary = 999 where version = 1000",
    )
    .await;
    let text = refusal(worker(&pool).only::<(Plain,)>()).await;
    assert!(
        text.contains("have version 1000") && text.contains("deploy a newer version"),
        "{text}"
    );
}

#[tokio::test]
async fn a_worker_that_is_given_no_queue_serves_those_that_its_handlers_declare() {
    #[task(queue = "letters")]
    async fn letter() {}
    #[task(queue = "parcels")]
    async fn parcel() {}

    let (_database, pool) = database().await;
    let mut tx = pool.begin().await.expect("begun");
    Letter::enqueue(&mut tx).await.expect("enqueued");
    Parcel::enqueue(&mut tx).await.expect("enqueued");
    // No handler declares this queue, and rows of plain SQL are in it.
    taskq::enqueue(&mut tx, Letter {})
        .queue("default")
        .await
        .expect("enqueued");
    tx.commit().await.expect("committed");
    let log = Log::capture();
    let worker = Worker::builder(pool.clone()).only::<(Letter, Parcel)>();
    drain(worker, &pool).await;
    assert!(!log.has("does not serve"), "{}", log.text());
}

#[tokio::test]
async fn a_worker_warns_of_declared_queues_that_it_was_not_given() {
    #[task(queue = "letters")]
    async fn letter_too() {}
    #[task(queue = "letters")]
    async fn stamp() {}

    let log = Log::capture();
    let (_database, pool) = database().await;
    while_working(
        worker(&pool).only::<(LetterToo, Stamp, Plain)>(),
        until("warned", async || log.has("does not serve")),
    )
    .await;
    let text = log.text();
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("does not serve"))
        .collect();
    let [line] = lines[..] else {
        panic!("one line for one queue: {text}")
    };
    for part in ["WARN", "letter_too", "stamp", ".queue(\"letters\", …)"] {
        assert!(line.contains(part), "{part} in {line}");
    }
}

#[tokio::test]
async fn a_program_without_handlers_is_told_how_to_link_them() {
    struct Nothing;
    impl taskq::handler::TaskSet for Nothing {
        fn __registrations() -> Vec<taskq::__private::Registration> {
            Vec::new()
        }
    }

    let log = Log::capture();
    let (_database, pool) = database().await;
    while_working(
        worker(&pool).only::<Nothing>(),
        until("told", async || log.has("use my_tasks as _;")),
    )
    .await;
}

#[tokio::test]
async fn without_only_a_worker_runs_what_is_linked() {
    let (_database, pool) = database().await;
    // All handlers of this test program, and so twins: those above, or others.
    let text = refusal(Worker::builder(pool.clone())).await;
    assert!(text.starts_with("two handlers for `"), "{text}");
}

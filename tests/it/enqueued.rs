//! `assert_enqueued!` and its like: what they find, and what they say when they find something else.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use taskq::{Schema, all_enqueued, assert_enqueued, refute_enqueued, task};

use crate::support::{database, drain, execute, leave_behind, one, worker};

#[task(queue = "mail")]
async fn send_card(usr_id: i64, locale: Option<String>) -> Result<(), String> {
    match locale {
        Some(locale) => Err(format!("user {usr_id} does not read {locale}")),
        None => Ok(()),
    }
}

#[task]
async fn send_cards() {}

/// Has no `Debug`.
#[derive(PartialEq, serde::Serialize, serde::Deserialize)]
struct Colour(u8);

#[task]
async fn paint(r#type: String, colour: Colour) {
    let _ = (r#type, colour.0);
}

fn card(usr_id: i64, locale: Option<&str>) -> SendCard {
    let locale = locale.map(str::to_owned);
    SendCard { usr_id, locale }
}

/// Runs what must panic, and returns the message.
async fn panic_of(assertion: impl Future<Output = ()> + Send + 'static) -> String {
    let error = tokio::spawn(assertion).await.expect_err("it panics");
    let message = error.into_panic().downcast::<String>();
    *message.expect("a text")
}

/// Asserts that a card for user 42 waits, which fails.
async fn no_card(pool: &PgPool) -> String {
    let pool = pool.clone();
    panic_of(async move {
        let mut db = pool.acquire().await.expect("a connection");
        assert_enqueued!(&mut db, SendCard { usr_id: 42, .. });
    })
    .await
}

#[tokio::test]
async fn a_task_that_waits_is_found_by_some_of_its_values() {
    let (_database, pool) = database().await;
    let mut tx = pool.begin().await.expect("a transaction");
    let enqueued = SendCard::enqueue(&mut tx, 42, Some("de".into()));
    enqueued.await.expect("enqueued");
    let usr_id = 42;
    assert_enqueued!(&mut tx, SendCard { usr_id: 42, .. });
    assert_enqueued!(
        &mut tx,
        SendCard {
            usr_id,
            locale: Some("de".to_owned())
        }
    );
    assert_enqueued!(&mut *tx, SendCard { .. });
    refute_enqueued!(&mut tx, SendCard { usr_id: 7, .. });
    refute_enqueued!(&mut tx, SendCard { .. }, queue = "bulk");
    let bulk = taskq::enqueue(&mut tx, card(7, None)).queue("bulk");
    bulk.await.expect("enqueued");
    assert_enqueued!(&mut tx, SendCard { usr_id: 7, .. }, queue = "bulk");
}

#[tokio::test]
async fn a_task_is_found_by_its_priority_and_by_when_it_is_due() {
    let (_database, pool) = database().await;
    let mut tx = pool.begin().await.expect("a transaction");
    let at = DateTime::<Utc>::from_timestamp(4_000_000_000, 0).expect("a time");
    let minute = Duration::from_secs(60);
    let delayed = taskq::enqueue(&mut tx, card(1, None)).delay(minute);
    delayed.priority(5).await.expect("enqueued");
    let at_a_time = taskq::enqueue(&mut tx, card(2, None)).run_at(at);
    at_a_time.await.expect("enqueued");
    let at_once = taskq::enqueue(&mut tx, card(3, None));
    at_once.await.expect("enqueued");

    assert_enqueued!(
        &mut tx,
        SendCard { usr_id: 1, .. },
        delay = minute,
        priority = 5
    );
    assert_enqueued!(&mut tx, SendCard { usr_id: 2, .. }, run_at = at);
    assert_enqueued!(
        &mut tx,
        SendCard { usr_id: 3, .. },
        delay = Duration::ZERO,
        priority = 0,
    );
    refute_enqueued!(&mut tx, SendCard { usr_id: 1, .. }, delay = Duration::ZERO);
    refute_enqueued!(&mut tx, SendCard { usr_id: 1, .. }, priority = 0);
    refute_enqueued!(&mut tx, SendCard { usr_id: 3, .. }, run_at = at);
}

#[tokio::test]
async fn all_that_wait_are_returned_in_the_order_of_their_enqueues() {
    let (_database, pool) = database().await;
    let mut tx = pool.begin().await.expect("a transaction");
    for (usr_id, locale) in [(3, None), (1, Some("de")), (2, None)] {
        let task = taskq::enqueue(&mut tx, card(usr_id, locale)).priority(4);
        task.await.expect("enqueued");
    }
    let tasks = all_enqueued!(&mut tx, SendCard { locale: None, .. });
    let users: Vec<_> = tasks.iter().map(|task| task.payload.usr_id).collect();
    assert_eq!(users, [3, 2]);
    assert!(
        tasks.iter().all(|task| task.priority == 4
            && task.queue == "mail"
            && task.run_at == task.created_at)
    );
    assert!(all_enqueued!(&mut tx, SendCard { usr_id: 9, .. }).is_empty());
}

#[tokio::test]
async fn what_waits_in_another_schema_is_found_there_and_named_elsewhere() {
    let (_database, pool) = database().await;
    let other = Schema::named("other_tasks").expect("a name");
    other.migrate(&pool).await.expect("migrated");
    let mut db = pool.acquire().await.expect("a connection");
    let task = taskq::enqueue(&mut db, card(42, None)).schema(other);
    task.await.expect("enqueued");
    assert_enqueued!(&mut db, SendCard { usr_id: 42, .. }, schema = other);
    refute_enqueued!(&mut db, SendCard { usr_id: 42, .. });
    assert_eq!(
        no_card(&pool).await,
        "no task `send_card` waits in queue `mail` with SendCard { usr_id: 42, .. }\n\
         this connection sees no task of this type, neither waiting nor running nor finished\n  \
         in schema `other_tasks` there are 1 of it: `schema = …` asks there"
    );
}

#[tokio::test]
async fn what_another_transaction_has_not_committed_is_not_found() {
    let (_database, pool) = database().await;
    let mut other = pool.begin().await.expect("a transaction");
    SendCard::enqueue(&mut other, 42, None)
        .await
        .expect("enqueued");
    assert_eq!(
        no_card(&pool).await,
        "no task `send_card` waits in queue `mail` with SendCard { usr_id: 42, .. }\n\
         this connection sees no task of this type, neither waiting nor running nor finished"
    );
}

#[tokio::test]
async fn where_there_is_none_of_the_type_the_message_names_other_types_the_likeliest_first() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    Paint::enqueue(&mut db, "wall".into(), Colour(1))
        .await
        .expect("enqueued");
    for _ in 0..2 {
        SendCards::enqueue(&mut db).await.expect("enqueued");
    }
    assert_eq!(
        no_card(&pool).await,
        "no task `send_card` waits in queue `mail` with SendCard { usr_id: 42, .. }\n\
         this connection sees no task of this type, neither waiting nor running nor finished\n  \
         of type `send_cards` there are 2\n  \
         of type `paint` there are 1"
    );
}

#[tokio::test]
async fn the_message_says_in_what_the_nearest_tasks_differ() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    // One that completes, and one that is given up.
    for locale in [None, Some("la")] {
        let task = taskq::enqueue(&mut db, card(42, locale)).max_attempts(1);
        task.await.expect("enqueued");
    }
    let completes = worker(&pool).queue("mail", 1).only::<(SendCard,)>();
    drain(completes.keep_completed(true), &pool).await;
    // One that runs.
    taskq::enqueue(&mut db, card(42, Some("fr")))
        .await
        .expect("enqueued");
    leave_behind(&pool).await;
    execute(
        &pool,
        "update taskq.lease set queue = 'mail', expires_at = now() + interval '1 hour'",
    )
    .await;
    taskq::enqueue(&mut db, card(41, Some("la")))
        .await
        .expect("enqueued");
    let bulk = taskq::enqueue(&mut db, card(42, Some("la"))).queue("bulk");
    bulk.priority(3).await.expect("enqueued");
    let later = taskq::enqueue(&mut db, card(42, Some("la")));
    let later = later.delay(Duration::from_secs(90)).priority(-1);
    later.await.expect("enqueued");
    execute(
        &pool,
        "insert into taskq.task (task_type, queue, payload) values ('send_card', 'mail', '[]')",
    )
    .await;
    let message = panic_of(async move {
        let locale = Some("la".to_owned());
        assert_enqueued!(
            &mut db,
            SendCard {
                usr_id: 42,
                locale: locale.clone(),
            },
            priority = -1,
            delay = Duration::ZERO
        );
    })
    .await;
    assert_eq!(
        message,
        r#"no task `send_card` waits in queue `mail` with SendCard { usr_id: 42, locale: locale.clone() }, priority = -1, delay = 0ns
the nearest of this type:
  task 6, waiting: delay is 90s, not 0ns; {"locale": "la", "usr_id": 42}
  task 2, discarded: priority is 0, not -1; {"locale": "la", "usr_id": 42}
  task 5, waiting: queue is `bulk`, not `mail`; priority is 3, not -1; {"locale": "la", "usr_id": 42}
  task 4, waiting: usr_id is 41, not 42; priority is 0, not -1; {"locale": "la", "usr_id": 41}
  task 3, running: locale is Some("fr"), not Some("la"); priority is 0, not -1; {"locale": "fr", "usr_id": 42}
  and 2 more"#
    );
}

#[tokio::test]
async fn what_has_ended_as_expected_is_said_to_have_ended() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    taskq::enqueue(&mut db, card(42, None))
        .await
        .expect("enqueued");
    let completes = worker(&pool).queue("mail", 1).only::<(SendCard,)>();
    drain(completes.keep_completed(true), &pool).await;
    assert_eq!(
        no_card(&pool).await,
        r#"no task `send_card` waits in queue `mail` with SendCard { usr_id: 42, .. }
the nearest of this type:
  task 1, completed: otherwise as expected; {"locale": null, "usr_id": 42}"#
    );
}

#[tokio::test]
async fn what_waits_though_it_must_not_is_named() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    for usr_id in 1..=7 {
        taskq::enqueue(&mut db, card(usr_id, None))
            .await
            .expect("enqueued");
    }
    let message = panic_of(async move {
        refute_enqueued!(&mut db, SendCard { locale: None, .. });
    });
    let message = message.await;
    assert!(
        message.starts_with("each of 7 tasks `send_card` waits in queue `mail` with SendCard { locale: None, .. }:\n  task 7; {\"locale\": null, \"usr_id\": 7}"),
        "{message}"
    );
    assert!(message.ends_with("\n  and 2 more"), "{message}");
}

#[tokio::test]
async fn nobody_can_say_that_none_waits_where_a_payload_does_not_decode() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.task (task_type, queue, payload) values ('send_card', 'mail', '{}')",
    )
    .await;
    let other = pool.clone();
    let refuted = panic_of(async move {
        let mut db = other.acquire().await.expect("a connection");
        refute_enqueued!(&mut db, SendCard { usr_id: 42, .. });
    });
    let mut db = pool.acquire().await.expect("a connection");
    let all = panic_of(async move {
        all_enqueued!(&mut db, SendCard { usr_id: 42, .. });
    });
    for message in [refuted.await, all.await] {
        assert!(
            message.starts_with("nobody can tell whether a task `send_card` waits in queue `mail` with SendCard { usr_id: 42, .. }\n  task 1, waiting: its payload does not decode: "),
            "{message}"
        );
    }
    let count: i64 = one(&pool, "select count(*) from taskq.task").await;
    assert_eq!(count, 1, "they only read");
}

#[tokio::test]
async fn a_value_without_debug_is_shown_as_it_stands_in_the_source() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    Paint::enqueue(&mut db, "wall".into(), Colour(1))
        .await
        .expect("enqueued");
    assert_enqueued!(&mut db, Paint { r#type: "wall", .. });
    let message = panic_of(async move {
        assert_enqueued!(
            &mut db,
            Paint {
                r#type: "door",
                colour: Colour(2),
                ..
            }
        );
    });
    let message = message.await;
    assert!(
        message.contains(
            r#"task 1, waiting: type is "wall", not "door"; colour is another value, not Colour(2); {"#
        ),
        "{message}"
    );
}

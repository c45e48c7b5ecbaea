//! `assert_enqueued!`: what it finds, and what it says when it finds something else.

use taskq::{assert_enqueued, task};

use crate::support::{database, drain, execute, worker};

#[task(queue = "mail")]
async fn send_card(usr_id: i64, locale: Option<String>) -> Result<(), String> {
    match locale {
        Some(locale) => Err(format!("user {usr_id} does not read {locale}")),
        None => Ok(()),
    }
}

/// Runs what must panic, and returns the message.
async fn panic_of(assertion: impl Future<Output = ()> + Send + 'static) -> String {
    let error = tokio::spawn(assertion).await.expect_err("it panics");
    let message = error.into_panic().downcast::<String>();
    *message.expect("a text")
}

#[tokio::test]
async fn a_task_that_waits_is_found_by_some_of_its_values() {
    let (_database, pool) = database().await;
    let mut tx = pool.begin().await.expect("a transaction");
    SendCard::enqueue(&mut tx, 42, Some("de".into()))
        .await
        .expect("enqueued");
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
    taskq::enqueue(
        &mut tx,
        SendCard {
            usr_id: 7,
            locale: None,
        },
    )
    .queue("bulk")
    .await
    .expect("enqueued");
    assert_enqueued!(&mut tx, SendCard { usr_id: 7, .. }, queue = "bulk");
}

#[tokio::test]
async fn what_another_transaction_has_not_committed_is_not_found() {
    let (_database, pool) = database().await;
    let mut other = pool.begin().await.expect("a transaction");
    SendCard::enqueue(&mut other, 42, None)
        .await
        .expect("enqueued");
    let message = panic_of(async move {
        let mut tx = pool.begin().await.expect("a transaction");
        assert_enqueued!(&mut tx, SendCard { usr_id: 42, .. });
    });
    assert_eq!(
        message.await,
        "no task `send_card` waits in queue `mail` with SendCard { usr_id: 42, .. }\n  \
         this connection sees no task of this type, neither waiting nor running nor finished"
    );
}

#[tokio::test]
async fn the_message_says_what_was_found_instead() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    // One that is given up, as it was meant.
    taskq::enqueue(
        &mut db,
        SendCard {
            usr_id: 42,
            locale: Some("la".into()),
        },
    )
    .max_attempts(1)
    .await
    .expect("enqueued");
    let worker = worker(&pool).queue("mail", 1).only::<(SendCard,)>();
    drain(worker, &pool).await;
    SendCard::enqueue(&mut db, 41, None)
        .await
        .expect("enqueued");
    taskq::enqueue(
        &mut db,
        SendCard {
            usr_id: 42,
            locale: Some("la".into()),
        },
    )
    .queue("bulk")
    .await
    .expect("enqueued");
    execute(
        &pool,
        "insert into taskq.task (task_type, queue, payload) values ('send_card', 'mail', '[]')",
    )
    .await;
    let message = panic_of(async move {
        assert_enqueued!(
            &mut db,
            SendCard {
                usr_id: 42,
                locale: Some("la".to_owned())
            }
        );
    })
    .await;
    for part in [
        "no task `send_card` waits in queue `mail`",
        "discarded, as expected: task",
        "waiting, another payload: task",
        r#""usr_id": 41"#,
        "waiting in queue `bulk`, as expected: task",
        "waiting, a payload that does not decode: task",
    ] {
        assert!(message.contains(part), "{part} in {message}");
    }
}

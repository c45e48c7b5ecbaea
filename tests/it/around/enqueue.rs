//! Hooks around enqueues. They are of the whole process, so each wants a type that only its test enqueues.

use std::sync::{Arc, Mutex};

use sqlx::PgConnection;
use taskq::error::BoxError;
use taskq::hooks::{BoxFuture, Enqueuing, Wants, register};
use taskq::{EnqueueError, Hook, task};

use crate::support::{database, execute, one, states};

/// Writes down what is enqueued, and refuses what says so.
struct Audits {
    wanted: &'static str,
    calls: Arc<Mutex<Vec<String>>>,
}

impl Hook for Audits {
    fn name(&self) -> &str {
        "audits"
    }

    fn wants(&self, task_type: &str) -> Wants {
        match task_type == self.wanted {
            true => Wants::ENQUEUE,
            false => Wants::NOTHING,
        }
    }

    fn enqueue_in_tx<'a>(
        &'a self,
        tasks: &'a mut Enqueuing<'_>,
        tx: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        Box::pin(async move {
            let payloads: Vec<String> = tasks.payloads().map(|it| it.get().to_owned()).collect();
            let (queue, priority, most) = (tasks.queue(), tasks.priority(), tasks.max_attempts());
            let by = tasks
                .metadata("by")
                .and_then(|it| it.as_str())
                .unwrap_or("nobody");
            let line = format!(
                "{} of {} into {queue}, priority {priority}, at most {most}, by {by}: {}",
                tasks.count(),
                tasks.task_type(),
                payloads.join(" ")
            );
            self.calls.lock().expect("calls").push(line);
            let insert = sqlx::query_scalar(
                "insert into audited (task_type) values ($1) returning audit_id",
            );
            let audit_id: i64 = insert.bind(tasks.task_type()).fetch_one(&mut *tx).await?;
            tasks.set_metadata("audit_id", audit_id);
            match payloads
                .iter()
                .find(|it| it.contains("refuse") || it.contains("panic"))
            {
                Some(it) if it.contains("panic") => panic!("out of ink"),
                Some(_) => Err("not on Sundays".into()),
                None => Ok(()),
            }
        })
    }
}

async fn prepared() -> (taskq::testing::Database, sqlx::PgPool) {
    let (database, pool) = database().await;
    execute(
        &pool,
        "create table audited (audit_id bigint generated always as identity, task_type text)",
    )
    .await;
    (database, pool)
}

fn audits(wanted: &'static str) -> (taskq::hooks::Registered, Arc<Mutex<Vec<String>>>) {
    let calls = Arc::<Mutex<Vec<String>>>::default();
    let hook = Audits {
        wanted,
        calls: calls.clone(),
    };
    (register(hook), calls)
}

#[task(priority = 3)]
async fn sends_letter(to: String, #[secret] code: String) {
    let _ = (to, code);
}

#[tokio::test]
async fn a_hook_writes_in_the_transaction_of_the_enqueue_and_sees_nothing_secret() {
    let (_database, pool) = prepared().await;
    let (registered, calls) = audits("sends_letter");
    let mut tx = pool.begin().await.expect("begun");
    let letter = SendsLetter::enqueue(&mut tx, "ada".into(), "1815".into());
    letter
        .queue("post")
        .metadata("by", "test")
        .await
        .expect("enqueued");
    tx.rollback().await.expect("rolled back");
    assert_eq!(one::<i64>(&pool, "select count(*) from audited").await, 0);

    let mut tx = pool.begin().await.expect("begun");
    let letter = SendsLetter::enqueue(&mut tx, "ada".into(), "1815".into());
    letter.max_attempts(2).await.expect("enqueued");
    tx.commit().await.expect("committed");
    let found = "select count(*) from audited join taskq.task on (metadata ->> 'audit_id')::bigint = audit_id";
    assert_eq!(one::<i64>(&pool, found).await, 1, "the task names its line");
    assert_eq!(
        calls.lock().expect("calls").as_slice(),
        [
            r#"1 of sends_letter into post, priority 3, at most 25, by test: {"code":"***","to":"ada"}"#,
            r#"1 of sends_letter into default, priority 3, at most 2, by nobody: {"code":"***","to":"ada"}"#,
        ]
    );
    registered.unregister();
    let mut db = pool.acquire().await.expect("a connection");
    let letter = SendsLetter::enqueue(&mut db, "b".into(), "2".into());
    letter.await.expect("enqueued");
    assert_eq!(calls.lock().expect("calls").len(), 2);
}

#[task]
async fn asks_first(how: String) {
    let _ = how;
}

#[tokio::test]
async fn a_refusal_or_a_panic_of_a_hook_inserts_nothing_and_says_whose_it_is() {
    let (_database, pool) = prepared().await;
    let (registered, calls) = audits("asks_first");
    let mut db = pool.acquire().await.expect("a connection");
    let refused = AsksFirst::enqueue(&mut db, "refuse".into()).await;
    let error = refused.expect_err("refused");
    assert!(
        matches!(&error, EnqueueError::Vetoed { task_type: "asks_first", hook, .. } if hook == "audits")
    );
    assert_eq!(
        error.to_string(),
        "the hook `audits` refuses the task of the type `asks_first`: not on Sundays"
    );
    for how in ["panic", "panic again"] {
        let panicked = AsksFirst::enqueue(&mut db, how.into()).await;
        let text = panicked.expect_err("refused").to_string();
        assert!(
            text.contains("panicked") && text.contains("out of ink"),
            "{text}"
        );
    }
    assert!(states(&pool).await.is_empty());
    let counts = registered.counts();
    assert_eq!((counts.vetoes, counts.panics), (3, 2), "it is called again");
    AsksFirst::enqueue(&mut db, "agree".into())
        .await
        .expect("enqueued");
    execute(&pool, "insert into taskq.task (task_type, payload) values ('asks_first', '{\"how\": \"refuse\"}')").await;
    assert_eq!(
        calls.lock().expect("calls").len(),
        4,
        "a bare insert calls none"
    );
    registered.unregister();
}

#[task]
async fn counts_rows(n: i64) {
    let _ = n;
}

#[tokio::test]
async fn a_hook_is_called_once_for_all_that_is_enqueued_at_once_by_copy_too() {
    let (_database, pool) = prepared().await;
    let (registered, calls) = audits("counts_rows");
    let mut db = pool.acquire().await.expect("a connection");
    let rows = || (0..12_000).map(|n| CountsRows { n });
    let many = taskq::enqueue_many(&mut db, rows())
        .await
        .expect("enqueued");
    assert_eq!(many.len(), 12_000);
    assert_eq!(
        taskq::enqueue_copy(&mut db, rows()).await.expect("copied"),
        12_000
    );
    let calls = calls.lock().expect("calls").clone();
    assert_eq!(calls.len(), 2);
    assert!(
        calls
            .iter()
            .all(|it| it.starts_with("12000 of counts_rows")),
        "{}",
        &calls[0][..50]
    );
    let audited = "select count(*) from taskq.task where metadata ? 'audit_id'";
    assert_eq!(one::<i64>(&pool, audited).await, 24_000);
    registered.unregister();
    taskq::enqueue_copy(&mut db, rows()).await.expect("copied");
    assert_eq!(one::<i64>(&pool, audited).await, 24_000);
}

#[tokio::test]
async fn metadata_of_a_hook_is_held_to_the_same_limit() {
    #[task]
    async fn carries_much() {}

    struct GivesMuch;
    impl Hook for GivesMuch {
        fn wants(&self, task_type: &str) -> Wants {
            match task_type {
                "carries_much" => Wants::ENQUEUE,
                _ => Wants::NOTHING,
            }
        }
        fn enqueue_in_tx<'a>(
            &'a self,
            tasks: &'a mut Enqueuing<'_>,
            _: &'a mut PgConnection,
        ) -> BoxFuture<'a, Result<(), BoxError>> {
            tasks.set_metadata("much", "x".repeat(70_000));
            Box::pin(std::future::ready(Ok(())))
        }
    }

    let (_database, pool) = database().await;
    let registered = register(GivesMuch);
    let mut db = pool.acquire().await.expect("a connection");
    let error = CarriesMuch::enqueue(&mut db).await.expect_err("too much");
    assert!(
        matches!(
            error,
            EnqueueError::Option {
                option: "metadata",
                ..
            }
        ),
        "{error:?}"
    );
    registered.unregister();
}

//! Filters as somebody uses them who guesses: they look at what is shown of a payload, and at nothing else.

use serde_json::json;
use sqlx::PgPool;
use taskq::OperateError;
use taskq::operate::{Filter, Operator};

use crate::cli::said;
use crate::support::{database, execute};

/// A secret with so few values that each can be tried.
const PIN: i64 = 7_315;

async fn insert(pool: &PgPool, task_type: &str, payload: serde_json::Value, secret: Option<&str>) {
    let metadata = secret.map(|field| json!({"task.secret": [field]}));
    sqlx::query("insert into taskq.task (task_type, payload, metadata) values ($1, $2, $3)")
        .bind(task_type)
        .bind(payload)
        .bind(metadata)
        .execute(pool)
        .await
        .expect("inserted");
}

fn filter(text: &str) -> Filter {
    text.parse().expect("a filter")
}

/// Asks in each way that there is whether a task matches.
async fn finds(operator: &Operator, text: &str) -> Result<u64, OperateError> {
    let filter = filter(text);
    let mut found = operator.list(&filter).await?.tasks.len() as u64;
    found += operator.discard_all(&filter).count().await?;
    found += operator.cancel_all(&filter).count().await?;
    let frozen = operator.retry_all(&filter).await?;
    operator.drop_bulk(frozen.bulk_id).await?;
    found += frozen.frozen;
    found += operator.causes(&filter).await?.causes.len() as u64;
    Ok(found)
}

#[tokio::test]
async fn a_field_that_only_its_enqueue_called_secret_cannot_be_guessed() {
    let (database, pool) = database().await;
    // No program here has a handler of it, and no worker has ever declared it.
    insert(&pool, "unlock", json!({"door": 1, "pin": PIN}), Some("pin")).await;
    insert(&pool, "unlock", json!([PIN, "pin"]), Some("pin")).await;
    for state in ["waiting", "dead"] {
        if state == "dead" {
            execute(&pool, "select taskq.cancel(task_id) from taskq.task").await;
        }
        let operator = taskq::operate(&pool);
        for guess in [
            format!("payload.pin:{PIN}"),
            format!("payload.pin:1,2,{PIN},\"***\""),
            format!("type:unlock payload.pin:{PIN}"),
            format!("payload.0:{PIN}"),
            format!("payload.-2:{PIN}"),
            "payload.1:pin".to_owned(),
        ] {
            // What cannot be there of the verb's states is refused whatever the values are.
            let found = finds(&operator, &format!("{guess} state:{state}")).await;
            let other = guess.replace(&PIN.to_string(), "1");
            let not_found = finds(&operator, &format!("{other} state:{state}")).await;
            match (found, not_found) {
                (Ok(found), Ok(not_found)) => assert_eq!((found, not_found), (0, 0), "{guess}"),
                (Err(one), Err(other)) => assert_eq!(one.to_string(), other.to_string()),
                (one, other) => panic!("{guess}: {one:?}, and {other:?}"),
            }
        }
        let list = operator
            .list(&filter(&format!("payload.door:1 state:{state}")))
            .await;
        assert_eq!(list.expect("listed").tasks.len(), 1);
    }
    // Each value tried, as by a script.
    let mut answers = Vec::new();
    for guess in PIN - 3..PIN + 3 {
        let (out, _, _) = said(
            &database,
            &["list", &format!("payload.pin:{guess}"), "--json"],
        )
        .await;
        answers.push(out);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
}

#[taskq::task]
async fn open_safe(door: i64, #[secret] combination: i64) {
    let _ = (door, combination);
}

#[tokio::test]
async fn what_the_program_knows_to_be_secret_is_not_looked_for_before_a_worker_declared_it() {
    let (_database, pool) = database().await;
    insert(
        &pool,
        "open_safe",
        json!({"door": 1, "combination": PIN}),
        None,
    )
    .await;
    insert(&pool, "open_safe", json!([PIN]), None).await;
    insert(&pool, "another", json!({"combination": 5}), None).await;
    let operator = taskq::operate(&pool);
    for guess in [
        format!("payload.combination:{PIN}"),
        format!("type:open_* payload.combination:{PIN}"),
        format!("type:open_safe payload.combination.0:{PIN}"),
    ] {
        match operator.list(&filter(&guess)).await {
            Err(OperateError::Refused { message }) => {
                assert!(
                    message.contains("is a secret field of tasks of type open_safe"),
                    "{message}"
                );
            }
            other => panic!("{guess}: {other:?}"),
        }
    }
    let found = async |text: &str| {
        let page = operator.list(&filter(text)).await;
        page.expect("listed").tasks.len()
    };
    assert_eq!(found(&format!("payload.0:{PIN}")).await, 0);
    assert_eq!(found("type:another payload.combination:5").await, 1);
    assert_eq!(found("payload.door:1").await, 1);
}

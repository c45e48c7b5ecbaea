//! What operators say of weights.

use std::sync::Arc;

use serde_json::json;
use taskq::OperateError;
use taskq::operate::Bound;

use super::renderer;
use crate::support::{database, execute, one};

#[tokio::test]
async fn an_operator_says_a_weight_and_takes_it_back() {
    let (_database, pool) = database().await;
    renderer(&pool, &Arc::default())
        .build()
        .await
        .expect("it starts");
    let operator = taskq::operate(&pool).as_user("ada");
    let seven = || operator.weight("render", json!({"tenant_id": 7}));
    assert_eq!(seven().set(3).await.expect("said"), None);
    let former = seven()
        .set(5)
        .because("the large plan")
        .await
        .expect("said");
    assert_eq!(former.map(|it| it.weight), Some(3));
    let weights = operator.weights().await.expect("weights");
    assert_eq!(weights.len(), 1);
    let shown = weights[0].to_string();
    assert!(
        shown.starts_with(r#"render {"tenant_id":7}: weight 5, by ada since 2"#)
            && shown.ends_with("Z: the large plan"),
        "{shown}"
    );
    // The key of a task with this payload, however its number is written.
    let same = r#"select count(*) from taskq.fair_weight where key = taskq.limit_key('{"tenant_id": 7.0, "n": 1}', '{tenant_id}')"#;
    assert_eq!(one::<i64>(&pool, same).await, 1);
    assert_eq!(
        seven().reset().await.expect("said").map(|it| it.weight),
        Some(5)
    );
    assert_eq!(operator.weights().await.expect("weights"), []);
    assert_eq!(seven().reset().await.expect("nothing to do"), None);
}

#[tokio::test]
async fn a_weight_that_makes_no_sense_is_refused() {
    let (_database, pool) = database().await;
    renderer(&pool, &Arc::default())
        .build()
        .await
        .expect("it starts");
    let operator = taskq::operate(&pool);
    let key = || json!({"tenant_id": 7});
    let refused = async |weighing: taskq::operate::Weighing| match weighing.await {
        Err(OperateError::Refused { message }) => message,
        other => panic!("{other:?}"),
    };
    let said = refused(operator.weight("rendr", key()).set(3)).await;
    assert!(said.contains("\"rendr\" has no fair turns"), "{said}");
    let said = refused(operator.weight("render", json!({"tenant": 7})).set(3)).await;
    assert!(
        said.contains("made of tenant_id, and not of \"tenant\""),
        "{said}"
    );
    let said = refused(operator.weight("render", json!([7])).set(3)).await;
    assert!(said.contains(r#"as in {"tenant_id": 7}"#), "{said}");
    for weight in [0, 1_001, u32::MAX] {
        let said = refused(operator.weight("render", key()).set(weight)).await;
        assert!(said.contains("a weight is 1 to 1000"), "{said}");
    }
    let said = refused(operator.weight("render", key())).await;
    assert!(said.contains("`.set(3)`"), "{said}");
    let said = refused(
        operator
            .weight("render", key())
            .set(3)
            .because("x".repeat(10_001)),
    )
    .await;
    assert!(said.contains("at most 10000 bytes"), "{said}");
    assert_eq!(operator.weights().await.expect("weights"), []);
}

#[tokio::test]
async fn turns_are_told_with_the_limits_and_bound_nothing() {
    let (_database, pool) = database().await;
    renderer(&pool, &Arc::default())
        .build()
        .await
        .expect("it starts");
    let limits = taskq::operate(&pool).limits().await.expect("limits");
    assert_eq!(limits.len(), 1);
    assert_eq!(limits[0].in_force, Some(Bound::Fair));
    assert_eq!(limits[0].to_string(), "each key of render: fair turns");
    // An operator limits each key of it.
    execute(&pool, "select taskq.limit_concurrency('key', 'render', 2)").await;
    let oldest = "select max(oldest_binary) from taskq.migration";
    assert_eq!(
        one::<i32>(&pool, oldest).await,
        11,
        "an older one knows no keys"
    );
}

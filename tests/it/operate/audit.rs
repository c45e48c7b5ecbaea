//! Telling who did what, when and why.

use super::enqueue;
use crate::cli::said;
use crate::support::database;

#[tokio::test]
async fn the_command_audit_tells_who_did_what() {
    let (database, pool) = database().await;
    assert_eq!(
        said(&database, &["audit"]).await.0,
        "nobody has done anything\n"
    );
    let operator = taskq::operate(&pool).as_user("ada");
    let mut ids = Vec::new();
    for _ in 0..3 {
        let task_id = enqueue(&pool, "mail", "{}").await;
        operator
            .cancel(task_id)
            .because("a\x1b[31m reason")
            .await
            .expect("cancelled");
        ids.push(task_id);
    }
    let (text, _, _) = said(&database, &["audit", "--most", "2"]).await;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    let end = format!(
        "ada: cancel of task {} (mail), which was waiting: a [31m reason",
        ids[2]
    );
    assert!(lines[0].ends_with(&end), "{text}");
    let before = lines[2]
        .strip_prefix("go on: --before ")
        .expect("where it goes on");
    let (text, _, _) = said(&database, &["audit", "--before", before, "--json"]).await;
    let page: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(page["entries"].as_array().map(Vec::len), Some(1));
    assert_eq!(page["entries"][0]["task_id"], ids[0]);
    assert!(page["next"].is_null());
}

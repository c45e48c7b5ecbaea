//! Migrations by the command line: what is missing, as a list, as a script, and as an exit code.

use serde_json::Value;
use sqlx::AssertSqlSafe;

use crate::cli::said;
use crate::support::{database, execute, one};

#[tokio::test]
async fn what_is_missing_is_listed_checked_and_printed() {
    let (database, pool) = database().await;
    let newest = taskq::operate::migrations().last().expect("some").version;
    let (out, _, code) = said(&database, &["migrate", "check"]).await;
    assert_eq!(
        (out.as_str(), code),
        ("the tables are up to date\n", Some(0))
    );
    let (out, err, code) = said(&database, &["migrate", "print"]).await;
    assert_eq!((out.as_str(), code), ("", Some(0)));
    assert_eq!(err, "nothing is missing: the tables are up to date\n");

    execute(&pool, "drop schema taskq cascade").await;
    let (out, _, code) = said(&database, &["migrate", "check"]).await;
    assert_eq!(code, Some(1));
    assert!(out.starts_with("missing: 1 tasks, 2 lanes, "), "{out}");
    let (list, _, _) = said(&database, &["migrate", "list"]).await;
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines[0], "VERSION  APPLIED  NAME");
    assert_eq!(lines[1], "      1  missing  tasks");
    assert_eq!(lines.len(), taskq::operate::migrations().len() + 1);

    // What is printed does what `migrate` does, in one transaction.
    let (script, err, code) = said(&database, &["migrate", "print"]).await;
    assert_eq!((err.as_str(), code), ("", Some(0)));
    assert!(script.starts_with("begin;\n") && script.ends_with("\ncommit;\n"));
    let run = sqlx::raw_sql(AssertSqlSafe(script));
    run.execute(&pool).await.expect("a script that runs");
    let version: i32 = one(&pool, "select max(version) from taskq.migration").await;
    assert_eq!(version, newest);
    let (_, _, code) = said(&database, &["migrate", "check"]).await;
    assert_eq!(code, Some(0));

    // The tables are newer than this program.
    execute(
        &pool,
        "insert into taskq.migration (version, name, oldest_binary) values (9000, 'later', 2)",
    )
    .await;
    let (list, _, _) = said(&database, &["migrate", "list", "--json"]).await;
    let list: Vec<Value> = serde_json::from_str(&list).expect("JSON");
    let last = list.last().expect("one");
    assert_eq!(last["version"], 9000);
    assert_eq!(last["is_known"], false);
    assert!(last["applied_at"].is_string(), "{last}");
}

#[tokio::test]
async fn a_script_from_a_version_on_needs_no_database() {
    let last = taskq::operate::migrations().last().expect("some");
    let print = async |from: String| {
        let arguments = ["migrate", "print", "--from", from.as_str()];
        let output = crate::cli::output(&arguments).await;
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (
            text(output.stdout),
            text(output.stderr),
            output.status.code(),
        )
    };
    let (script, _, code) = print(last.version.to_string()).await;
    assert_eq!(code, Some(0));
    let head = format!("\n-- {}: {}\n", last.version, last.name);
    assert!(script.contains(&head), "{script}");
    assert!(!script.contains("\n-- 1: tasks\n"));
    let (_, err, code) = print("9000".to_owned()).await;
    assert_eq!(code, Some(1));
    assert!(err.contains("has no migration 9000"), "{err}");
}

#[tokio::test]
async fn a_check_that_cannot_read_the_tables_says_so() {
    let output = crate::cli::output(&["migrate", "check"]).await;
    assert_eq!(output.status.code(), Some(2));
}

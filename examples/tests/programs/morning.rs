//! The broken morning: the doctor names each trouble, and what it says mends it, from a shell.

use std::process::Output;

use serde_json::Value;
use taskq::testing::Database;
use tokio::process::Command;

use crate::program::{Program, path_of, wait_for};

/// Says a command as a shell takes it.
async fn shell(url: &str, command: &str) -> Output {
    let script = format!("exec {} {command}", path_of("morning").display());
    let output = Command::new("sh")
        .args(["-c", &script])
        .env("DATABASE_URL", url)
        .output();
    output.await.unwrap()
}

/// Returns what the doctor finds, but for what is so on the server of tests, and the exit code.
async fn doctor(url: &str) -> (Vec<Value>, Option<i32>) {
    let output = shell(url, "doctor --patience 0s --json").await;
    let found: Vec<Value> = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let is_staged = |it: &Value| match it["problem"].as_str() {
        Some("setting" | "connections") => false,
        Some("open transaction") => it["said"].as_str().unwrap().contains("as forgotten"),
        _ => true,
    };
    (
        found.into_iter().filter(is_staged).collect(),
        output.status.code(),
    )
}

fn problems(found: &[Value]) -> Vec<&str> {
    found
        .iter()
        .map(|it| it["problem"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn the_doctor_names_each_trouble_of_a_broken_morning_and_what_mends_it() {
    let database = Database::empty().await.unwrap();
    let url = database.url();
    let mut stage = Program::start("morning", &["stage"], &url);
    stage.line_with("staged;").await;

    let (found, code) = doctor(&url).await;
    assert_eq!(code, Some(1), "there are errors");
    let expected = [
        "dead",
        "dead",
        "dead",
        "lease",
        "schedule",
        "unserved",
        "limit",
        "open transaction",
        "paused",
        "vanished worker",
    ];
    assert_eq!(problems(&found), expected, "{found:#?}");
    let said = |problem: &str| {
        let it = found.iter().find(|it| it["problem"] == problem);
        it.unwrap()["said"].as_str().unwrap()
    };
    for (problem, part) in [
        ("paused", "queue mail has been paused for"),
        ("paused", "by ada (SMTP is down)"),
        (
            "unserved",
            "7 tasks of type send_fax wait in queue default, and no living worker knows that type",
        ),
        ("open transaction", "has had a transaction open for"),
        (
            "vanished worker",
            "was last seen 3 minutes ago and has not said that it stopped",
        ),
        (
            "lease",
            "3 tasks are in leases that ended more than a minute ago",
        ),
        (
            "schedule",
            "schedule nightly is late: it should have ticked 2 hours ago",
        ),
        ("limit", "queue reports is limited to nothing by ada"),
    ] {
        assert!(said(problem).contains(part), "{part}: {}", said(problem));
    }

    // Each is mended by what the doctor says: by a command, or else by a statement.
    let pool = database.pool();
    for ailment in &found {
        if let Some(command) = ailment["command"].as_str() {
            let yes = if command.contains("--all") {
                " --yes"
            } else {
                ""
            };
            let output = shell(&url, &format!("{command}{yes}")).await;
            assert!(output.status.success(), "{command}: {output:?}");
            let before = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(before.starts_with("database "), "{before}");
        } else if let Some(statement) = ailment["statement"].as_str() {
            let statement = sqlx::AssertSqlSafe(statement.to_owned());
            sqlx::raw_sql(statement).execute(&pool).await.unwrap();
        }
    }
    // The rest says in words that a worker is missing.
    let (left, _) = doctor(&url).await;
    assert_eq!(
        problems(&left),
        ["lease", "schedule", "vanished worker"],
        "{left:#?}"
    );
    let worker = Program::start("morning", &["run"], &url);
    // That one vanished stays true for an hour, and needs nothing done.
    wait_for("a morning in which all is well", async || {
        let (left, code) = doctor(&url).await;
        (problems(&left) == ["vanished worker"] && code == Some(0)).then_some(())
    })
    .await;
    wait_for("all of it to run", async || {
        let left: i64 = sqlx::query_scalar(
            "select count(*) from taskq.tasks where state in ('waiting', 'running')",
        )
        .fetch_one(&pool)
        .await
        .unwrap();
        (left == 0).then_some(())
    })
    .await;
    let faxes: i64 =
        sqlx::query_scalar("select count(*) from taskq.dead where state = 'cancelled'")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(faxes, 7, "nobody knows how to send them");
    assert!(worker.interrupt().await.success());
    assert!(stage.interrupt().await.success());
}

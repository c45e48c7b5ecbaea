//! The worker as a user runs it: it has the handlers, works, and its lock is up to date.

use std::process::Stdio;
use std::time::Duration;

use contracts_payloads::SendEmailWelcome;
use taskq::testing::Database;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

const WORKER: &str = env!("CARGO_BIN_EXE_contracts-worker");

/// What is not found in the binary of `contracts-web`.
const OF_THE_HANDLER: [&str; 2] = ["a welcome mail in", "SendEmailWelcomeHandler"];

#[test]
fn the_worker_links_its_handler() {
    let binary = std::fs::read(WORKER).expect("the binary");
    for text in OF_THE_HANDLER {
        let mut ends = (0..binary.len()).map(|at| &binary[at..]);
        let found = ends.any(|end| end.starts_with(text.as_bytes()));
        assert!(found, "{text}");
    }
}

#[tokio::test]
async fn a_payload_enqueued_without_the_handler_is_run_by_the_worker() {
    let database = Database::fresh().await.expect("a database");
    let mut db = database.pool().acquire().await.expect("a connection");
    SendEmailWelcome::enqueue(&mut db, 42, Some("de".into()))
        .await
        .expect("enqueued");
    let mut worker = Command::new(WORKER)
        .arg("run")
        .env("DATABASE_URL", database.url())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the worker starts");
    let mut lines = BufReader::new(worker.stdout.take().expect("its output")).lines();
    let line = timeout(Duration::from_secs(60), lines.next_line())
        .await
        .expect("it says something in time")
        .expect("readable");
    assert_eq!(line.as_deref(), Some("user 42 gets a welcome mail in de"));
}

#[tokio::test]
async fn the_lock_is_up_to_date() {
    let database = Database::fresh().await.expect("a database");
    let lock = concat!(env!("CARGO_MANIFEST_DIR"), "/../taskq.lock.json");
    let output = Command::new(WORKER)
        .args(["tasks", "--check", lock])
        .env("DATABASE_URL", database.url())
        .output()
        .await
        .expect("it runs");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(printed.starts_with("nothing has changed"), "{printed}");
}

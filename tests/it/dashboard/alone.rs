//! The pages alone, by the command line of a worker's binary.

use std::process::Stdio;

use reqwest::StatusCode;
use tokio::io::{AsyncBufReadExt, BufReader};

use super::enqueue;
use crate::cli::{output, program, said};
use crate::support::{database, terminate};

#[tokio::test]
async fn the_command_serves_the_pages_until_it_is_told_to_stop() {
    let (database, pool) = database().await;
    enqueue(&pool, "send_card", "{}").await;
    let mut serving = program(&[
        "dashboard",
        "--listen",
        "127.0.0.1:0",
        "--password-env",
        "SECRET",
        "--user",
        "ada",
    ])
    .env("DATABASE_URL", database.url())
    .env("SECRET", "correct horse")
    .stdout(Stdio::piped())
    .spawn()
    .expect("it runs");
    let out = serving.stdout.take().expect("its output");
    let mut lines = BufReader::new(out).lines();
    let url = lines.next_line().await.expect("readable").expect("a line");
    let client = reqwest::Client::new();
    let bare = client.get(&url).send().await.expect("an answer");
    assert_eq!(bare.status(), StatusCode::UNAUTHORIZED);
    let page = client
        .get(&url)
        .basic_auth("ada", Some("correct horse"))
        .send()
        .await;
    let page = page.expect("an answer").text().await.expect("text");
    assert!(page.contains("send_card"), "{page}");
    terminate(&serving);
    assert!(serving.wait().await.expect("it ends").success());
}

#[tokio::test]
async fn the_command_does_not_open_the_pages_to_everybody() {
    let (database, _pool) = database().await;
    for (arguments, says) in [
        (
            &["dashboard", "--listen", "0.0.0.0:0"][..],
            "nobody has said who is let in",
        ),
        (
            &["dashboard", "--password-env", "TASKQ_NO_SUCH_VARIABLE"],
            "is empty",
        ),
    ] {
        let (_, err, code) = said(&database, arguments).await;
        assert!(
            err.contains(says) && code == Some(1),
            "{arguments:?}: {err}"
        );
    }
    let help = output(&["dashboard", "--help"]).await;
    assert!(String::from_utf8_lossy(&help.stdout).contains("--password-env"));
}

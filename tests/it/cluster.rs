//! The launcher: one server for all who ask, gone with the last of them, however it ended.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use sqlx::{Connection, PgConnection};
use taskq::testing::{Cluster, ClusterError};

use crate::support::{database, one, until};

/// A process that holds a cluster.
struct Holder {
    child: Child,
    url: String,
}

impl Holder {
    /// Starts a process and waits until it holds the cluster.
    fn start(name: &str, then: &str) -> Self {
        Self::start_with(name, then, &[])
    }

    /// As `start`, with further variables in its environment.
    fn start_with(name: &str, then: &str, environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_holder"))
            .args([name, then])
            .env_remove("DATABASE_URL")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the holder starts");
        let output = child.stdout.take().expect("it is piped");
        let mut url = String::new();
        BufReader::new(output)
            .read_line(&mut url)
            .expect("it prints the address");
        Self {
            child,
            url: url.trim().to_owned(),
        }
    }

    fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }
}

/// A persistent cluster of a test's own, removed with this value.
struct Name(String);

impl Name {
    fn new(of: &str) -> Self {
        Self(format!("{of}_{}", std::process::id()))
    }
}

async fn is_served(url: &str) -> bool {
    match PgConnection::connect(url).await {
        Ok(connection) => connection.close().await.is_ok(),
        Err(_) => false,
    }
}

/// The directory of the server's socket, and of everything else that is its.
fn folder(url: &str) -> PathBuf {
    let host = url.split("host=").nth(1).expect("a socket");
    PathBuf::from(host.split('&').next().unwrap_or(host))
}

#[tokio::test]
async fn a_server_is_shared_until_its_last_user_is_killed() {
    let name = Name::new("shared");
    let first = Holder::start(&name.0, "");
    let second = Holder::start(&name.0, "");
    let url = first.url.clone();
    assert_eq!(url, second.url);
    first.kill();
    assert!(is_served(&url).await, "somebody uses it");
    second.kill();
    until("stopped", async || {
        !is_served(&url).await && !folder(&url).join("data/postmaster.pid").exists()
    })
    .await;
    assert!(
        !folder(&url).join("data/postmaster.pid").exists(),
        "it was stopped in order"
    );

    // What it held is there the next time.
    let third = Holder::start(&name.0, "");
    assert!(is_served(&third.url).await);
    third.kill();
    until("stopped", async || {
        !folder(&url).join("data/postmaster.pid").exists()
    })
    .await;
    fs::remove_dir_all(folder(&url)).expect("removed");
}

#[tokio::test]
async fn a_panic_of_its_only_user_stops_the_server() {
    let name = Name::new("panicked");
    let mut holder = Holder::start(&name.0, "panic");
    let url = holder.url.clone();
    holder.child.wait().expect("it ends");
    until("stopped", async || {
        !is_served(&url).await && !folder(&url).join("data/postmaster.pid").exists()
    })
    .await;
    fs::remove_dir_all(folder(&url)).expect("removed");
}

#[tokio::test]
async fn settings_for_other_servers_do_not_reach_the_one_that_is_started() {
    let name = Name::new("elsewhere");
    let others = [
        ("PGPORT", "5433"),
        ("PGSSLMODE", "require"),
        ("PGHOST", "db.invalid"),
        ("PGUSER", "nobody_here"),
        ("PGDATABASE", "none"),
    ];
    let holder = Holder::start_with(&name.0, "", &others);
    let url = holder.url.clone();
    assert!(is_served(&url).await, "{url}");
    holder.kill();
    until("stopped", async || {
        !folder(&url).join("data/postmaster.pid").exists()
    })
    .await;
    fs::remove_dir_all(folder(&url)).expect("removed");
}

#[tokio::test]
async fn a_private_server_is_gone_with_its_value() {
    let cluster = Cluster::private().await.expect("a server");
    let url = cluster.url("postgres");
    assert!(is_served(&url).await);
    drop(cluster);
    until("stopped", async || !is_served(&url).await).await;
}

#[tokio::test]
async fn each_test_has_a_database_of_its_own_which_goes_with_it() {
    let (one_database, pool) = database().await;
    let (_other, other_pool) = database().await;
    let name: String = one(&pool, "select current_database()::text").await;
    assert_ne!(
        name,
        one::<String>(&other_pool, "select current_database()::text").await
    );
    drop(one_database);
    let left: i64 = sqlx::query_scalar("select count(*) from pg_database where datname = $1")
        .bind(name)
        .fetch_one(&other_pool)
        .await
        .expect("counted");
    assert_eq!(left, 0);
}

#[test]
fn an_error_names_the_one_command_that_helps() {
    let error = ClusterError::NotFound {
        tried: vec!["no `postgres` on PATH".to_owned()],
    };
    let text = error.to_string();
    assert!(
        text.contains("Install one with `") && text.contains("no `postgres` on PATH"),
        "{text}"
    );
}

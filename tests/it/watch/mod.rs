//! What supervisors and Prometheus see of a worker.

mod files;
mod health;
mod metrics;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::LIMIT;

/// Watched workers in a process of their own, which is killed with the test.
struct Watched {
    process: Child,
    addresses: Vec<String>,
}

impl Watched {
    fn start(url: &str, workers: usize, environment: &[(&str, &str)]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_watched"))
            .env("DATABASE_URL", url)
            .env("WORKERS", workers.to_string())
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the workers start");
        let lines = BufReader::new(process.stdout.take().expect("its output")).lines();
        let addresses = lines.take(workers).map(|line| line.expect("an address"));
        let addresses = addresses.collect();
        Self { process, addresses }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Sends a request, and returns the whole answer.
async fn request(address: &str, head: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let head = format!("{head} HTTP/1.1\r\nhost: {address}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    let read = timeout(LIMIT, stream.read_to_string(&mut answer)).await;
    read.expect("in time").expect("answered");
    answer
}

/// Gets a page, and returns its status and body.
async fn get(address: &str, path: &str) -> (u16, String) {
    let answer = request(address, &format!("GET {path}")).await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).expect("a status");
    (status.parse().expect("a number"), body.to_owned())
}

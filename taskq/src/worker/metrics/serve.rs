//! A small HTTP server: the metrics, and whether the worker is alive and ready.
//!
//! It understands what Prometheus and supervisors send: a request without a body. Anything else is for a web framework, which
//! gets the same from [`Metrics::text`] and [`Health`](crate::Health).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Metrics;
use crate::error::NotReady;

/// How many are answered at once. Others wait.
const AT_ONCE: usize = 32;

/// How long a request may take to come, and its answer to go.
const LIMIT: Duration = Duration::from_secs(10);

/// How long the head of a request may be.
const LONGEST_HEAD: usize = 16 * 1024;

/// The kind of a page of metrics.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

const TEXT: &str = "text/plain; charset=utf-8";

impl Metrics {
    /// Answers `GET /metrics` with the metrics, `/live` with whether the worker's loops turn, and `/ready` with whether it
    /// can work: 200 if so, and 503 with the reason if not. Whoever can reach the port may read this; no task, payload or
    /// error is in it. Bind it to an address that only the supervisor and Prometheus reach.
    ///
    /// ```no_run
    /// # async fn run(worker: taskq::Worker) -> Result<(), Box<dyn std::error::Error>> {
    /// let listener = tokio::net::TcpListener::bind(("0.0.0.0", 9464)).await?;
    /// let serving = tokio::spawn(worker.metrics().serve(listener));
    /// worker.run_until(taskq::shutdown_signal()).await?;
    /// serving.abort();
    /// # Ok(()) }
    /// ```
    ///
    /// It goes on for as long as it is polled.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes all connections.
    pub async fn serve(self, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            let place = places.clone().acquire_owned().await;
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::debug!(%error, "cannot accept a connection for metrics");
                    // As where there are too many open files.
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let metrics = self.clone();
            connections.spawn(async move {
                let _place = place;
                let answered = timeout(LIMIT, metrics.answer(stream)).await;
                if let Ok(Err(error)) = answered {
                    tracing::debug!(%error, "cannot answer a request for metrics");
                }
            });
        }
    }

    async fn answer(&self, mut stream: TcpStream) -> io::Result<()> {
        let head = read_head(&mut stream).await?;
        let (status, kind, body) = match path(&head) {
            None => ("405 Method Not Allowed", TEXT, "only GET\n".to_owned()),
            Some("/metrics") => ("200 OK", METRICS, self.text()),
            Some("/live") => match self.health.is_live() {
                true => ("200 OK", TEXT, "live\n".to_owned()),
                false => {
                    let silence = self.health.silence();
                    let body = format!("a loop of the worker has been silent for {silence:?}\n");
                    ("503 Service Unavailable", TEXT, body)
                }
            },
            Some("/ready") => match self.health.ready().await {
                Ok(()) => ("200 OK", TEXT, "ready\n".to_owned()),
                Err(why) => ("503 Service Unavailable", TEXT, reason(&why)),
            },
            Some(_) => (
                "404 Not Found",
                TEXT,
                "there are /metrics, /live and /ready\n".to_owned(),
            ),
        };
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\ncache-control: no-store\r\nconnection: close\r\n\r\n{body}"
        );
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await
    }
}

/// Returns why the worker is not ready, for whoever asks: what Postgres says may name hosts and roles.
fn reason(why: &NotReady) -> String {
    match why {
        NotReady::Database { .. } => "cannot reach the database\n".to_owned(),
        why => format!("{why}\n"),
    }
}

/// Reads what comes up to the first empty line.
async fn read_head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    let mut part = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let count = stream.read(&mut part).await?;
        if count == 0 || head.len() > LONGEST_HEAD {
            return Err(io::ErrorKind::InvalidData.into());
        }
        head.extend_from_slice(&part[..count]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Returns the path of a `GET`, without its query.
fn path(head: &str) -> Option<&str> {
    let target = head.strip_prefix("GET ")?.split_whitespace().next()?;
    target.split('?').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_not_told_what_the_database_says() {
        let error = "password authentication failed for user \"taskq\"".to_owned();
        assert_eq!(
            reason(&NotReady::Database { error }),
            "cannot reach the database\n"
        );
        assert_eq!(reason(&NotReady::Stopping), "the worker is stopping\n");
    }

    #[test]
    fn a_path_is_what_is_got() {
        assert_eq!(path("GET /metrics HTTP/1.1\r\n\r\n"), Some("/metrics"));
        assert_eq!(path("GET /live?x=1 HTTP/1.0\r\n\r\n"), Some("/live"));
        assert_eq!(path("POST /metrics HTTP/1.1\r\n\r\n"), None);
        assert_eq!(path("GET "), None);
    }
}

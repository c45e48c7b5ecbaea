//! What a browser does: it asks for a page, or keeps one open.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Somebody who has the link of a dashboard.
pub struct Browser {
    pub address: SocketAddr,
    /// The link has it, for this start of the server alone.
    pub token: String,
}

/// A page that was asked for.
pub struct Answer {
    pub text: String,
    pub took: Duration,
}

impl Browser {
    /// Asks for a page, and reads it to its end.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        let began = Instant::now();
        let mut stream = self.ask(path).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        let took = began.elapsed();
        let text = String::from_utf8(answer).context("the page is text")?;
        let status = text.get(9..12).unwrap_or_default();
        ensure!(
            ["200", "303"].contains(&status),
            "{path} was answered with {text}"
        );
        Ok(Answer { text, took })
    }

    /// Opens a stream, and returns it once the server has begun to answer.
    pub async fn open(&self, path: &str) -> Result<TcpStream> {
        let mut stream = self.ask(path).await?;
        let mut head = [0; 12];
        stream.read_exact(&mut head).await?;
        ensure!(&head == b"HTTP/1.1 200", "{path} is no stream");
        Ok(stream)
    }

    async fn ask(&self, path: &str) -> Result<TcpStream> {
        let Self { address, token } = self;
        let mut stream = TcpStream::connect(address).await?;
        let request = format!(
            "GET /{path} HTTP/1.1\r\nhost: localhost:{}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n",
            address.port()
        );
        stream.write_all(request.as_bytes()).await?;
        Ok(stream)
    }
}

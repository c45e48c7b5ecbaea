//! What a program and the server say to each other: a socket between them that passes everything on, and counts.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

/// `ReadyForQuery`, with which the server ends its answer to whatever was said in one round trip.
const READY: u8 = b'Z';

/// What was said so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traffic {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) round_trips: u64,
}

#[derive(Debug, Default)]
struct Counters {
    sent: AtomicU64,
    received: AtomicU64,
    round_trips: AtomicU64,
}

/// A socket in a folder of its own. It is closed with this value.
pub(crate) struct Wire {
    folder: PathBuf,
    counters: Arc<Counters>,
    task: JoinHandle<()>,
}

impl Wire {
    /// Listens in front of the server that listens at this socket.
    pub(crate) fn open(server: &Path) -> io::Result<Self> {
        let folder = std::env::temp_dir().join(format!("taskq-costs-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let socket = folder.join(".s.PGSQL.5432");
        // Of an earlier program, whose wire is closed.
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket)?;
        let counters = Arc::new(Counters::default());
        let (server, counting) = (server.to_owned(), counters.clone());
        let task = tokio::spawn(async move {
            while let Ok((program, _)) = listener.accept().await {
                if let Ok(server) = UnixStream::connect(&server).await {
                    let (from_program, to_program) = program.into_split();
                    let (from_server, to_server) = server.into_split();
                    tokio::spawn(forward(from_program, to_server, counting.clone(), false));
                    tokio::spawn(forward(from_server, to_program, counting.clone(), true));
                }
            }
        });
        Ok(Self {
            folder,
            counters,
            task,
        })
    }

    /// Returns the folder that a program takes for that of the server.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn traffic(&self) -> Traffic {
        Traffic {
            sent: self.counters.sent.load(Relaxed),
            received: self.counters.received.load(Relaxed),
            round_trips: self.counters.round_trips.load(Relaxed),
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Passes on what one side says until it says no more; then the other side learns that.
async fn forward(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    counters: Arc<Counters>,
    is_answer: bool,
) {
    let mut bytes = vec![0; 64 * 1024];
    let mut messages = Messages::default();
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let said = &bytes[..count];
        let total = match is_answer {
            true => &counters.received,
            false => &counters.sent,
        };
        total.fetch_add(count as u64, Relaxed);
        if is_answer {
            let ready = messages.count(said, READY);
            counters.round_trips.fetch_add(ready, Relaxed);
        }
        if to.write_all(said).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}

/// Where in a message of the protocol a stream is: a byte for its kind, four for the length of what follows with
/// themselves, then that.
#[derive(Debug, Default)]
struct Messages {
    head: Vec<u8>,
    /// How much of the message is to come.
    left: usize,
}

impl Messages {
    /// Returns how many messages of a kind begin here.
    fn count(&mut self, mut bytes: &[u8], kind: u8) -> u64 {
        let mut found = 0;
        while !bytes.is_empty() {
            if self.left > 0 {
                let skipped = self.left.min(bytes.len());
                self.left -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            self.head.push(bytes[0]);
            bytes = &bytes[1..];
            if let [its, length @ ..] = &self.head[..]
                && let Ok(length) = <[u8; 4]>::try_from(length)
            {
                found += u64::from(*its == kind);
                self.left = (u32::from_be_bytes(length) as usize).saturating_sub(4);
                self.head.clear();
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_however_they_are_cut() {
        let said = b"C\0\0\0\x0bSELECT\0Z\0\0\0\x05IZ\0\0\0\x05T1\0\0\0\x04Z\0\0\0\x05Z";
        for size in 1..said.len() {
            let mut messages = Messages::default();
            let parts = said.chunks(size);
            let found: u64 = parts.map(|part| messages.count(part, READY)).sum();
            assert_eq!(found, 3, "in parts of {size}");
        }
    }
}

//! A line to Postgres that takes time: it hands on each byte of either direction half of a round trip later.
//!
//! What is under way is not bounded, so the delay takes nothing from the bandwidth, as on a line that is long and wide.
//! The kernel of the machine that measures need not have `netem`, nor the bench be root.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// The most bytes that are taken in at once.
const PIECE: usize = 64 * 1024;

/// Bytes, and when they arrive.
type Underway = (Instant, Vec<u8>);

/// Listens for clients of one server until it is dropped.
pub struct Relay {
    port: u16,
    is_over: Arc<AtomicBool>,
}

impl Relay {
    /// Leads to the server that listens on this socket.
    pub fn start(socket: PathBuf, round_trip: Duration) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let is_over = Arc::new(AtomicBool::new(false));
        let seen = is_over.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                if seen.load(Relaxed) {
                    break;
                }
                // A client that cannot be served sees its connection end.
                let _ = client.map(|client| connect(client, &socket, round_trip / 2));
            }
        });
        Ok(Self { port, is_over })
    }

    /// Returns the address of a database at the other end.
    pub fn url(&self, database: &str) -> String {
        let port = self.port;
        format!("postgres://postgres@127.0.0.1:{port}/{database}?sslmode=disable")
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.is_over.store(true, Relaxed);
        // So that the thread which waits for clients looks.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn connect(client: TcpStream, socket: &Path, delay: Duration) -> Result<()> {
    let server = UnixStream::connect(socket).context("connecting to Postgres")?;
    client.set_nodelay(true)?;
    let (to_server, from_server) = (server.try_clone()?, server);
    let (to_client, from_client) = (client.try_clone()?, client);
    hand_on(from_client, to_server, delay, |it| {
        it.shutdown(Shutdown::Write)
    });
    hand_on(from_server, to_client, delay, |it| {
        it.shutdown(Shutdown::Write)
    });
    Ok(())
}

/// Hands on one direction, with a thread at either end, until the sender closes it.
fn hand_on<F, T>(from: F, to: T, delay: Duration, close: fn(&T) -> std::io::Result<()>)
where
    F: Read + Send + 'static,
    T: Write + Send + 'static,
{
    let (send, underway) = channel();
    thread::spawn(move || take_in(from, delay, &send));
    thread::spawn(move || {
        let mut to = to;
        // Whoever has gone needs no more bytes.
        let _ = hand_out(&mut to, &underway);
        let _ = close(&to);
    });
}

fn take_in(mut from: impl Read, delay: Duration, underway: &Sender<Underway>) {
    let mut piece = vec![0; PIECE];
    while let Ok(length @ 1..) = from.read(&mut piece) {
        let arrives = Instant::now() + delay;
        if underway.send((arrives, piece[..length].to_vec())).is_err() {
            break;
        }
    }
}

fn hand_out(to: &mut impl Write, underway: &Receiver<Underway>) -> std::io::Result<()> {
    while let Ok((arrives, piece)) = underway.recv() {
        let missing = arrives.saturating_duration_since(Instant::now());
        if !missing.is_zero() {
            sleep(missing);
        }
        to.write_all(&piece)?;
    }
    Ok(())
}

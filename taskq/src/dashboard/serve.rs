//! Serving the pages alone.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::access::Access;
use super::board::{Board, Shown};
use super::live::Live;
use super::routes;
use super::token::Token;
use crate::task::registration::TaskSet;

/// How long requests may take that are under way when the server is stopped.
const GRACE: Duration = Duration::from_secs(5);

/// How long the head of a request may take, and how long a connection may wait for one.
const HEAD: Duration = Duration::from_secs(20);

/// How long to wait where no connection can be taken, as where there are no files left, and how often: for a minute.
const PAUSE: Duration = Duration::from_millis(200);
const MOST_FAILED: u32 = 300;

/// A server of the dashboard alone: see [`server`](super::server).
#[derive(Debug)]
#[must_use = "nothing is served until it is bound and run"]
pub struct Server {
    shown: Shown,
    access: Option<Access>,
}

/// A server that has its address, and serves once it is run.
#[derive(Debug)]
#[must_use = "nothing is served until it is run"]
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
    live: Arc<Live>,
    token: Option<Token>,
}

impl Server {
    pub(super) fn new(shown: Shown) -> Self {
        Self {
            shown,
            access: None,
        }
    }

    /// Takes these task types for those that this program declares, in place of all that are linked into it, as
    /// [`WorkerBuilder::only`](crate::WorkerBuilder::only) does.
    pub fn only<S: TaskSet>(mut self) -> Self {
        self.shown.only = Some(S::__registrations());
        self
    }

    /// Says who is let in. Without it whoever has the [link](Bound::link) is, on this machine alone.
    pub fn access(self, access: Access) -> Self {
        Self {
            access: Some(access),
            ..self
        }
    }

    /// Takes an address.
    ///
    /// # Errors
    ///
    /// [`ServeError::Open`] if the address is not a loopback one, and nobody has said who is let in;
    /// [`ServeError::Listen`] if the address cannot be taken.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the address is free again.
    pub async fn bind(self, address: SocketAddr) -> Result<Bound, ServeError> {
        let (access, token) = match self.access {
            Some(access) => (access, None),
            None if address.ip().to_canonical().is_loopback() => {
                let token = Token::random();
                (Access::linked(token.clone()), Some(token))
            }
            None => return Err(ServeError::Open { address }),
        };
        let listen = |source| ServeError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let board = Board::new(self.shown, access, routes::live_page);
        Ok(Bound {
            listener,
            address,
            router: routes::router(&board),
            live: board.live.clone(),
            token,
        })
    }
}

impl Bound {
    /// Returns the address, with the port that was chosen where none was said.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the link to the pages, for whoever is to be let in: it has the token, where nobody has said who is.
    pub fn link(&self) -> String {
        let address = self.address;
        match &self.token {
            Some(token) => format!("http://{address}/{}", token.query()),
            None => format!("http://{address}/overview"),
        }
    }

    /// Serves until `stop` ends, and then lets requests end for five seconds at the most.
    ///
    /// # Errors
    ///
    /// [`ServeError::Listen`] if no connection could be taken for a minute.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, nobody is let in any more, and requests that are under way end by themselves.
    pub async fn run_until(self, stop: impl Future) -> Result<(), ServeError> {
        let stopped = CancellationToken::new();
        let connections = TaskTracker::new();
        let ended = tokio::select! {
            source = self.accept(&connections, &stopped) => Err(ServeError::Listen { address: self.address, source }),
            _ = stop => Ok(()),
        };
        // Streams of open pages have no end of their own.
        self.live.end();
        stopped.cancel();
        connections.close();
        // Those that take longer are of clients that do not read.
        let _ = timeout(GRACE, connections.wait()).await;
        ended
    }

    /// Takes connections until none can be taken, and returns why.
    async fn accept(&self, connections: &TaskTracker, stopped: &CancellationToken) -> io::Error {
        let mut failed = 0;
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    failed = 0;
                    connections.spawn(converse(stream, self.router.clone(), stopped.clone()));
                }
                Err(error) if failed >= MOST_FAILED => return error,
                Err(_) => {
                    failed += 1;
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

/// Answers what is asked on one connection.
async fn converse(stream: TcpStream, router: Router, stopped: CancellationToken) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD);
    let service = TowerToHyperService::new(router);
    let connection = http.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    // However it ends, the client knows it.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stopped.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// The dashboard is not served.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServeError {
    /// Others than those on this machine could come, and nobody has said who is let in.
    Open {
        /// The address.
        address: SocketAddr,
    },
    /// The address cannot be taken, or was lost.
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { address } => write!(
                f,
                "{address} can be reached from other machines, and nobody has said who is let in: say `.access(Access::basic(user, password))`, or listen on 127.0.0.1"
            ),
            Self::Listen { address, .. } => write!(f, "cannot listen on {address}"),
        }
    }
}

impl Error for ServeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Listen { source, .. } => Some(source),
            Self::Open { .. } => None,
        }
    }
}

//! Serving the pages alone.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::access::Access;
use super::board::{Board, Shown};
use super::live::Live;
use super::routes;
use crate::task::declaration::TaskSet;

/// How long requests may take that are under way when the server is stopped.
const GRACE: Duration = Duration::from_secs(5);

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

    /// Says who is let in. Without it everybody on this machine is, and nobody else.
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
        let access = match self.access {
            Some(access) => access,
            None if address.ip().to_canonical().is_loopback() => Access::local(),
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
        })
    }
}

impl Bound {
    /// Returns the address, with the port that was chosen where none was said.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` ends, and then lets requests end for five seconds at the most.
    ///
    /// # Errors
    ///
    /// [`ServeError::Listen`] if the address is lost.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, nobody is let in any more, and requests that are under way end by themselves.
    pub async fn run_until(self, stop: impl Future) -> Result<(), ServeError> {
        let address = self.address;
        let stopped = CancellationToken::new();
        let told = stopped.clone();
        let serving = axum::serve(self.listener, self.router)
            .with_graceful_shutdown(async move { told.cancelled().await });
        let serving = serving.into_future();
        tokio::pin!(serving, stop);
        let ended = tokio::select! {
            ended = &mut serving => Some(ended),
            _ = &mut stop => None,
        };
        // Streams of open pages have no end of their own.
        self.live.end();
        stopped.cancel();
        let ended = match ended {
            Some(ended) => ended,
            None => timeout(GRACE, serving).await.unwrap_or(Ok(())),
        };
        ended.map_err(|source| ServeError::Listen { address, source })
    }
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

//! A proxy in front of Postgres that does to connections what networks do: it drops packets, loses
//! answers, delays, and cuts.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// What happens to packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// They arrive.
    Fair,
    /// They arrive so much later.
    Slow(Duration),
    /// What the server answers arrives so much later.
    AnswersLate(Duration),
    /// None arrives, in either direction; nobody is told. What was sent arrives when it is fair again.
    Hanging,
    /// What the server answers never arrives.
    AnswersLost,
}

/// A proxy, which ends with this value.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    /// Changes when all connections are cut.
    cuts: watch::Sender<u64>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// Starts a proxy in front of the server whose socket this is.
    ///
    /// # Errors
    ///
    /// When it cannot listen.
    pub async fn start(socket: PathBuf) -> io::Result<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST, socket).await
    }

    /// Starts a proxy that listens on an address of this machine.
    ///
    /// # Errors
    ///
    /// When it cannot listen.
    pub async fn start_at(address: Ipv4Addr, socket: PathBuf) -> io::Result<Self> {
        let listener = TcpListener::bind((address, 0)).await?;
        let address = listener.local_addr()?;
        let (weather, _) = watch::channel(Weather::Fair);
        let (cuts, _) = watch::channel(0);
        let sky = (weather.clone(), cuts.clone());
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (weather, mut cuts) = (sky.0.subscribe(), sky.1.subscribe());
                let socket = socket.clone();
                connections.spawn(async move {
                    // A connection that fails is closed on both sides, and that is all.
                    tokio::select! {
                        // Looked at first: an answer that waits behind a cut is lost.
                        biased;
                        _ = cuts.changed() => {}
                        _ = serve(client, socket, weather) => {}
                    }
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self {
            address,
            weather,
            cuts,
            task,
        })
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the weather for all connections.
    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// Cuts all connections.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Cuts all connections, and those that follow have fair weather. What the server has done but not yet answered is
    /// never answered, even where somebody else can see it.
    pub fn cut_and_clear(&self) {
        self.cut();
        self.set(Weather::Fair);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    client: TcpStream,
    socket: PathBuf,
    weather: watch::Receiver<Weather>,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    let server = UnixStream::connect(socket).await?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // When one side closes, the other is closed too.
    tokio::select! {
        result = forward(from_client, to_server, weather.clone(), false) => result,
        result = forward(from_server, to_client, weather, true) => result,
    }
}

async fn forward(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut weather: watch::Receiver<Weather>,
    is_answer: bool,
) -> io::Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let count = from.read(&mut bytes).await?;
        let now = weather
            .wait_for(|now| *now != Weather::Hanging)
            .await
            .map(|now| *now)
            .map_err(io::Error::other)?;
        if count == 0 {
            return Ok(());
        }
        match now {
            Weather::AnswersLost if is_answer => continue,
            Weather::AnswersLate(delay) if is_answer => sleep(delay).await,
            Weather::Slow(delay) => sleep(delay).await,
            _ => {}
        }
        to.write_all(&bytes[..count]).await?;
    }
}

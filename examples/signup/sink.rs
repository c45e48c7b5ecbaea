//! A mail server that keeps what it receives: real SMTP, so that nothing about sending is pretended.
//!
//! The crate `mailin` knows the protocol and does no I/O; this file gives it lines from a socket
//! and writes its answers back. A mail is answered with "250 OK" once it is in the table `mail`.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use mailin::response::{INTERNAL_ERROR, NO_STORAGE, OK};
use mailin::{Action, Handler, Response, SessionBuilder};
use mailparse::MailHeaderMap;
use sqlx::PgPool;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::mail::SMTP_URL;

/// The longest mail that is kept, and the longest line that is read.
const MAX_BYTES: usize = 1024 * 1024;

/// How long a client may take for its whole conversation.
const MAX_CONVERSATION: Duration = Duration::from_secs(60);

/// How often the sink says where it is.
const ANNOUNCEMENT: Duration = Duration::from_secs(1);

/// A running sink. It stops when this is dropped.
pub(crate) struct Sink {
    _server: JoinSet<()>,
}

impl Sink {
    /// Starts a sink, unless the environment names a real mail server.
    pub(crate) async fn unless_configured(pool: &PgPool) -> anyhow::Result<Option<Self>> {
        match std::env::var_os(SMTP_URL) {
            Some(_) => Ok(None),
            None => Self::start(pool).await.map(Some),
        }
    }

    async fn start(pool: &PgPool) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("smtp://{}", listener.local_addr()?);
        announce(&url, pool).await?;
        tracing::info!(
            url,
            "mails are received here; SMTP_URL sends them elsewhere"
        );
        let mut server = JoinSet::new();
        server.spawn(accept(listener, pool.clone()));
        server.spawn(keep_announcing(url, pool.clone()));
        Ok(Self { _server: server })
    }
}

/// Tells the workers, which may be other processes, where to send mails.
async fn announce(url: &str, pool: &PgPool) -> sqlx::Result<()> {
    sqlx::query(
        "insert into mail_sink (url) values ($1)
         on conflict (is_the_one) do update set url = excluded.url
         where mail_sink.url <> excluded.url",
    )
    .bind(url)
    .execute(pool)
    .await?;
    Ok(())
}

/// A second web server announces its own sink, and takes it away when it ends. So nobody may rely
/// on having said it once.
async fn keep_announcing(url: String, pool: PgPool) {
    loop {
        sleep(ANNOUNCEMENT).await;
        if let Err(error) = announce(&url, &pool).await {
            tracing::warn!(%error, "the mail sink could not be announced");
        }
    }
}

async fn accept(listener: TcpListener, pool: PgPool) {
    let mut conversations = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, client)) => {
                    let conversation = converse(stream, client, pool.clone());
                    conversations.spawn(timeout(MAX_CONVERSATION, conversation));
                }
                Err(error) => tracing::warn!(%error, "a mail client could not be accepted"),
            },
            Some(ended) = conversations.join_next() => {
                if let Ok(Ok(Err(error))) = ended {
                    tracing::warn!(%error, "a mail client left in the middle");
                }
            }
        }
    }
}

/// Talks to one client until it says goodbye.
async fn converse(mut stream: TcpStream, client: SocketAddr, pool: PgPool) -> io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader);
    let (sender, mut received) = mpsc::unbounded_channel();
    let mut session = SessionBuilder::new("signup.example").build(client.ip(), Inbox::new(sender));
    write(&mut writer, &session.greeting()).await?;
    loop {
        let mut line = Vec::new();
        let limit = MAX_BYTES as u64;
        (&mut reader)
            .take(limit)
            .read_until(b'\n', &mut line)
            .await?;
        if line.is_empty() {
            return Ok(());
        }
        let mut response = session.process(&line);
        if let Ok(mail) = received.try_recv()
            && let Err(error) = keep(&pool, &mail).await
        {
            tracing::error!(%error, "a mail could not be kept");
            response = INTERNAL_ERROR;
        }
        match response.action {
            Action::NoReply => {}
            Action::Reply => write(&mut writer, &response).await?,
            Action::Close | Action::UpgradeTls => return write(&mut writer, &response).await,
        }
    }
}

async fn write(writer: &mut (impl AsyncWriteExt + Unpin), response: &Response) -> io::Result<()> {
    let mut bytes = Vec::new();
    response.write_to(&mut bytes)?;
    writer.write_all(&bytes).await
}

/// A mail as it came in: who it is for by the envelope, and its text.
#[derive(Default)]
struct Received {
    recipients: Vec<String>,
    source: Vec<u8>,
}

/// What `mailin` calls while it reads a conversation.
struct Inbox {
    current: Received,
    complete: mpsc::UnboundedSender<Received>,
}

impl Inbox {
    fn new(complete: mpsc::UnboundedSender<Received>) -> Self {
        Self {
            current: Received::default(),
            complete,
        }
    }
}

impl Handler for Inbox {
    fn data_start(&mut self, _: &str, _: &str, _: bool, recipients: &[String]) -> Response {
        self.current = Received {
            recipients: recipients.to_vec(),
            source: Vec::new(),
        };
        OK
    }

    fn data(&mut self, line: &[u8]) -> io::Result<()> {
        // One byte more than allowed is how `data_end` knows that there was more.
        let room = (MAX_BYTES + 1).saturating_sub(self.current.source.len());
        let (kept, _) = line.split_at(line.len().min(room));
        self.current.source.extend_from_slice(kept);
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        let mail = std::mem::take(&mut self.current);
        if mail.source.len() > MAX_BYTES {
            return NO_STORAGE;
        }
        match self.complete.send(mail) {
            Ok(()) => OK,
            Err(_) => INTERNAL_ERROR,
        }
    }
}

async fn keep(pool: &PgPool, mail: &Received) -> anyhow::Result<()> {
    let parsed = mailparse::parse_mail(&mail.source).context("not a mail")?;
    let header = |name| parsed.headers.get_first_value(name).unwrap_or_default();
    sqlx::query("insert into mail (recipient, message_id, subject, body) values ($1, $2, $3, $4)")
        .bind(mail.recipients.join(", "))
        .bind(header("Message-ID"))
        .bind(header("Subject"))
        .bind(parsed.get_body()?)
        .execute(pool)
        .await?;
    Ok(())
}

//! Sending mail: to the server that `SMTP_URL` names, or to the sink of this example.

use anyhow::Context;
use lettre::transport::smtp;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use sqlx::PgPool;

/// The variable that names a mail server: `smtp://host:25`, or with TLS `smtps://user:password@host`
/// and `smtp://user:password@host:587?tls=required`.
pub(crate) const SMTP_URL: &str = "SMTP_URL";

type Smtp = AsyncSmtpTransport<Tokio1Executor>;

/// Sends mails. The worker has one, and handlers borrow it.
pub(crate) enum Mailer {
    /// To a server that somebody has configured.
    Server(Smtp),
    /// To the sink, wherever it listens now: the web server may have been restarted.
    Sink(PgPool),
}

impl Mailer {
    /// Makes the mailer that the environment asks for.
    pub(crate) fn from_env(pool: &PgPool) -> anyhow::Result<Self> {
        match std::env::var(SMTP_URL) {
            Ok(url) => Ok(Self::Server(connect(&url).context(SMTP_URL)?)),
            Err(_) => Ok(Self::Sink(pool.clone())),
        }
    }

    /// Sends one mail, and returns once the server has taken it.
    pub(crate) async fn send(&self, message: Message) -> anyhow::Result<()> {
        let sent = match self {
            Self::Server(server) => server.send(message).await,
            Self::Sink(pool) => connect(&sink_url(pool).await?)?.send(message).await,
        };
        match sent {
            Ok(_) => Ok(()),
            // "No such mailbox" is not going to change: more attempts would only annoy the server.
            Err(error) if error.is_permanent() => {
                Err(taskq::outcome::discard(error.to_string()).into())
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn connect(url: &str) -> Result<Smtp, smtp::Error> {
    Ok(Smtp::from_url(url)?.build())
}

async fn sink_url(pool: &PgPool) -> anyhow::Result<String> {
    sqlx::query_scalar("select url from mail_sink")
        .fetch_optional(pool)
        .await?
        .with_context(|| format!("no mail server: start `signup web`, or set {SMTP_URL}"))
}

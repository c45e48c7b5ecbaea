//! The background tasks: functions that a worker runs, once for each row of `taskq.task`.

use anyhow::Context;
use lettre::Message;
use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use sqlx::PgConnection;
use taskq::Attempt;

use crate::mail::Mailer;

/// Welcomes a user.
///
/// The mark on the user and the completion of the task commit together, when the handler has
/// ended well. The mail is sent last, because it is the one thing here that no rollback takes back:
/// should the process die between the server's "250 OK" and the commit, the task runs again and a
/// second mail with the same `Message-ID` goes out. Exactly once is what the database gives; a
/// mail gets at least once.
#[taskq::task(max_attempts = 10, timeout = "30s")]
pub(crate) async fn send_email_welcome(
    tx: &mut PgConnection,
    mailer: &Mailer,
    attempt: &Attempt,
    usr_id: i64,
) -> anyhow::Result<()> {
    let email: Option<String> = sqlx::query_scalar(
        "update usr set welcomed_at = clock_timestamp() where usr_id = $1 returning email",
    )
    .bind(usr_id)
    .fetch_optional(&mut *tx)
    .await?;
    let Some(email) = email else {
        return Err(taskq::outcome::cancel("the user is gone").into());
    };
    mailer.send(welcome(&email, attempt.task_id())?).await
}

fn welcome(email: &str, task_id: i64) -> anyhow::Result<Message> {
    let to: Mailbox = email
        .parse()
        .context("the user's email is not an address")?;
    let message = Message::builder()
        .from("Signup example <welcome@signup.example>".parse()?)
        .to(to)
        .subject("Welcome!")
        // The same in every attempt, so that a receiver can tell a second copy from a second mail.
        .message_id(Some(format!("<task-{task_id}@signup.example>")))
        .header(ContentType::TEXT_PLAIN)
        .body(format!("Hello {email}, your account is ready.\n"))?;
    Ok(message)
}

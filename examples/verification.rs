//! The verification program: payloads are parsed before a handler sees them, and a row that does
//! not parse is set aside while the others flow.
//!
//! ```text
//! cargo run --example verification
//! ```
//!
//! It enqueues good rows through the typed functions and broken ones through bare SQL, as a program
//! in another language might, works through all of them ten at once, and prints what became of
//! each. There is no list of the task types: each `#[task]` registers itself, and together they are
//! the discriminated union, with the column `task_type` as its tag.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use email_address::EmailAddress;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use taskq::testing::Database;
use tokio::time::sleep;
use uuid::Uuid;

/// Both types have one. Decoding checks it: an `id` that is no UUID or an `email` that is no address
/// never becomes a `User`, so handlers need no checks of their own.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct User {
    id: Uuid,
    email: EmailAddress,
}

/// The names here are those of the rows: `SEND_VERIFICATION_EMAIL` and `verificationKey`, because
/// the programs that write them are not all in Rust.
#[taskq::task(name = "SEND_VERIFICATION_EMAIL")]
async fn send_verification_email(
    outbox: &Outbox,
    user: User,
    #[serde(rename = "verificationKey")] verification_key: String,
) {
    outbox
        .deliver(&user.email, &format!("/verify?key={verification_key}"))
        .await;
}

#[taskq::task(name = "SEND_FORGOT_PASSWORD_EMAIL")]
async fn send_forgot_password_email(
    outbox: &Outbox,
    user: User,
    #[serde(rename = "forgotPasswordKey")] forgot_password_key: String,
) {
    outbox
        .deliver(&user.email, &format!("/reset?key={forgot_password_key}"))
        .await;
}

/// Stands in for a mail server that takes its time, and counts how many talk to it at once.
#[derive(Default)]
struct Outbox {
    busy: AtomicUsize,
    busiest: AtomicUsize,
}

impl Outbox {
    async fn deliver(&self, to: &EmailAddress, link: &str) {
        let busy = self.busy.fetch_add(1, Relaxed) + 1;
        self.busiest.fetch_max(busy, Relaxed);
        sleep(Duration::from_millis(50)).await;
        tracing::debug!(%to, link, "sent");
        self.busy.fetch_sub(1, Relaxed);
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = Database::fresh().await?;
    let pool = database.pool();
    enqueue_good_ones(&pool).await?;
    enqueue_by_sql(&pool).await?;

    let outbox = Arc::new(Outbox::default());
    taskq::Worker::builder(pool.clone())
        .state_arc(outbox.clone())
        .queue("default", 10)
        .keep_completed(true)
        .build()
        .await?
        .run_until(taskq_examples::all_finished(&pool))
        .await?;

    print_outcomes(&pool).await?;
    let busiest = outbox.busiest.load(Relaxed);
    println!("\nUp to {busiest} handlers ran at once.");
    Ok(())
}

/// The typed way: the compiler knows what a payload is made of. All of them are in one transaction,
/// together with whatever else belongs to it.
async fn enqueue_good_ones(pool: &PgPool) -> anyhow::Result<()> {
    let mut tx = pool.begin().await?;
    for name in [
        "ada", "grace", "edsger", "barbara", "donald", "radia", "tony",
    ] {
        let user = User {
            id: Uuid::new_v4(),
            email: format!("{name}@example.com").parse()?,
        };
        SendVerificationEmail::enqueue(&mut tx, user.clone(), format!("welcome-{name}")).await?;
        let forgot = SendForgotPasswordEmail {
            user,
            forgot_password_key: format!("reset-{name}"),
        };
        taskq::enqueue(&mut tx, forgot).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// The way of any other program: nothing checks what it writes. The first row is good.
async fn enqueue_by_sql(pool: &PgPool) -> sqlx::Result<()> {
    sqlx::raw_sql(
        r#"
        insert into taskq.task (task_type, payload) values
        ('SEND_VERIFICATION_EMAIL', '{
            "user": {"id": "5f0c7f5e-6f0b-4c39-a6a3-3f6c5f6b2d10", "email": "node@example.com"},
            "verificationKey": "welcome-node"
        }'),
        ('SEND_VERIFICATION_EMAIL', '{
            "user": {"id": "number 42", "email": "bad-uuid@example.com"},
            "verificationKey": "k1"
        }'),
        ('SEND_FORGOT_PASSWORD_EMAIL', '{
            "user": {"id": "5f0c7f5e-6f0b-4c39-a6a3-3f6c5f6b2d10", "email": "no address"},
            "forgotPasswordKey": "k2"
        }'),
        ('SEND_FORGOT_PASSWORD_EMAIL', '{
            "user": {"id": "5f0c7f5e-6f0b-4c39-a6a3-3f6c5f6b2d10", "email": "no-key@example.com"}
        }'),
        ('SEND_VERIFICATION_EMAIL', '"not even an object"')
        "#,
    )
    .execute(pool)
    .await?;
    Ok(())
}

async fn print_outcomes(pool: &PgPool) -> sqlx::Result<()> {
    let outcomes: Vec<(i64, String, String, String, String)> = sqlx::query_as(
        "select
             task_id,
             task_type,
             coalesce(payload #>> '{user, email}', '-'),
             state,
             coalesce(errors -> -1 ->> 'error', '')
         from taskq.tasks
         order by state, task_id",
    )
    .fetch_all(pool)
    .await?;
    println!(
        "{:>4}  {:<26}  {:<21}  {:<9}  WHY",
        "TASK", "TYPE", "EMAIL", "STATE"
    );
    for (task_id, task_type, email, state, why) in &outcomes {
        println!("{task_id:>4}  {task_type:<26}  {email:<21}  {state:<9}  {why}");
    }
    let of = |wanted: &str| {
        outcomes
            .iter()
            .filter(|outcome| outcome.3 == wanted)
            .count()
    };
    println!(
        "\n{} completed, {} invalid.",
        of("completed"),
        of("invalid")
    );
    Ok(())
}

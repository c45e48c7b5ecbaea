//! The dashboard of a bad morning: a paused queue, a type that nobody knows, dead tasks of three causes, a limit of
//! nothing, and a schedule. Open the page, and mend them. It makes a database of its own, and Ctrl-C ends it.
//!
//! ```text
//! $ cargo run --example dashboard
//! http://127.0.0.1:3001/?token=61c8…
//! ```
//!
//! `ADDR` is another address to listen on.

use std::net::SocketAddr;
use std::time::Duration;

use sqlx::PgPool;
use taskq::operate::Queue;
use taskq::testing::Database;
use taskq::{Worker, dashboard};
use tokio::time::sleep;

#[taskq::task(max_attempts = 1, queue = "mail")]
async fn send_card(usr_id: u32, locale: String) -> Result<(), String> {
    sleep(Duration::from_millis(u64::from(usr_id % 40))).await;
    match usr_id % 10 {
        0 => Err(format!(
            "connection to 10.0.3.{usr_id}:25 timed out after {usr_id} ms"
        )),
        1 if locale.is_empty() => Err(format!("usr {usr_id} has no locale")),
        2 => Err(format!("550 <usr{usr_id}@example.com>: no such mailbox")),
        _ => Ok(()),
    }
}

/// Every night.
#[taskq::task(cron = "0 2 * * *", timezone = "Europe/Zurich")]
async fn report() {
    sleep(Duration::from_millis(300)).await;
}

#[taskq::task(queue = "media", concurrency(4))]
async fn render(video_id: u64) {
    sleep(Duration::from_secs(2 + video_id % 5)).await;
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = Database::fresh().await?;
    let pool = database.pool();
    seed(&pool).await?;
    remember(&pool).await?;

    let address = std::env::var("ADDR").unwrap_or_else(|_| "127.0.0.1:3001".to_owned());
    let address: SocketAddr = address.parse()?;
    let server = dashboard::server(taskq::operate(&pool))
        .bind(address)
        .await?;
    println!("{}", server.link());

    let worker = Worker::builder(database.pool())
        .queue("mail", 20)
        .queue("media", 4)
        .release("1.4.2")
        .build()
        .await?;
    let trickle = tokio::spawn(trickle(pool.clone()));
    let (worked, served) = tokio::join!(
        worker.run_until(taskq::shutdown_signal()),
        server.run_until(taskq::shutdown_signal())
    );
    trickle.abort();
    worked?;
    served?;
    Ok(())
}

/// Enqueues a few cards each second, so that something moves.
async fn trickle(pool: PgPool) -> anyhow::Result<()> {
    for round in 1_u32.. {
        let mut db = pool.acquire().await?;
        let cards = (0..7).map(|number| SendCard {
            usr_id: round * 7 + number,
            locale: "de".to_owned(),
        });
        taskq::enqueue_many(&mut db, cards).await?;
        sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

/// Makes a mess.
async fn seed(pool: &PgPool) -> anyhow::Result<()> {
    let operator = taskq::operate(pool).as_user("ada");
    let mut db = pool.acquire().await?;
    let locale = |usr_id| if usr_id % 3 == 0 { "" } else { "de" };
    let cards = (1..=600).map(|usr_id| SendCard {
        usr_id,
        locale: locale(usr_id).to_owned(),
    });
    taskq::enqueue_many(&mut db, cards).await?;
    let videos = (1..=60).map(|video_id| Render { video_id });
    taskq::enqueue_many(&mut db, videos).await?;
    sqlx::query(
        "insert into taskq.task (task_type, queue, payload)
         select 'send_letter', 'mail', jsonb_build_object('usr_id', n) from generate_series(1, 12) as n",
    )
    .execute(&mut *db)
    .await?;
    operator
        .pause(Queue("billing"))
        .because("the bank is closed")
        .await?;
    operator
        .limit(Queue("exports"))
        .concurrency(0)
        .because("the disk is full")
        .await?;
    sqlx::query(
        "insert into taskq.task (task_type, queue, payload)
         select 'charge', 'billing', '{}' from generate_series(1, 30)",
    )
    .execute(&mut *db)
    .await?;
    Ok(())
}

/// Puts there what workers would have counted in the hour before, so that there is a curve to look at.
async fn remember(pool: &PgPool) -> anyhow::Result<()> {
    sqlx::query(
        "insert into taskq.minute (minute, queue, task_type, completed, failed, died, waits, runs)
         select date_trunc('minute', now()) - n * interval '1 minute', 'mail', 'send_card',
                240 + (60 * sin(n / 7.0))::int + n * 37 % 50, 3 + n % 7, case when n < 12 then 30 - n * 2 else 0 end,
                array[10, 40, 60, 80, 30, 10, case when n < 14 then 60 else 5 end, case when n < 10 then 40 else 1 end],
                array[0, 20, 80, 90, 40, 12, 4, 1, case when n < 16 then 9 else 0 end]
         from generate_series(1, 58) as n",
    )
    .execute(pool)
    .await?;
    // Of all kinds together, and there is one.
    sqlx::query(
        "insert into taskq.minute_total
         select minute, completed, failed, died, waits, runs from taskq.minute",
    )
    .execute(pool)
    .await?;
    Ok(())
}

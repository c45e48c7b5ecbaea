//! A schedule enqueues a task each second, and another at run time, with a payload. A handler knows the nominal time.
//!
//! ```text
//! $ cargo run --example cron
//! backup: the tick of a whole second, late: false
//! backup: the tick of a whole second, late: false
//! report of customer 42, by the schedule `weekly report of 42`
//! backups of June by hand: 3
//! ```

use sqlx::PgPool;
use taskq::chrono::{DateTime, Timelike, Utc};
use taskq::testing::Database;
use taskq::{Attempt, Worker};
use tokio::sync::mpsc;

/// Says a line, for the story to wait for.
type Lines = mpsc::UnboundedSender<String>;

#[taskq::task(cron = "* * * * * *", timezone = "Europe/Zurich", overlap = "skip")]
async fn backup(lines: &Lines, attempt: &Attempt) {
    if let Some(tick) = attempt.tick() {
        let what = if tick.at.nanosecond() == 0 {
            "a whole second"
        } else {
            "some moment"
        };
        let line = format!("backup: the tick of {what}, late: {}", tick.is_late);
        lines.send(line).ok();
    }
}

#[taskq::task]
async fn report(lines: &Lines, attempt: &Attempt, customer: i64) {
    if let Some(tick) = attempt.tick() {
        let line = format!(
            "report of customer {customer}, by the schedule `{}`",
            tick.schedule
        );
        lines.send(line).ok();
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = Database::fresh().await?;
    let pool = database.pool();
    let (lines, heard) = mpsc::unbounded_channel();
    let worker = Worker::builder(pool.clone())
        .state::<Lines>(lines)
        .build()
        .await?;
    let story = tell(&pool, heard);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let story = async {
        let told = story.await;
        drop(stop);
        told
    };
    let work = worker.run_until(async {
        stopped.await.ok();
    });
    let (told, worked) = tokio::join!(story, work);
    told?;
    worked?;
    Ok(())
}

async fn tell(pool: &PgPool, mut lines: mpsc::UnboundedReceiver<String>) -> anyhow::Result<()> {
    for _ in 0..2 {
        println!("{}", lines.recv().await.unwrap_or_default());
    }

    // In a transaction of yours, as many as you like for one task type.
    let mut tx = taskq::begin(pool).await?;
    let mut schedules = taskq::schedules(&mut tx);
    let name = "weekly report of 42";
    schedules
        .upsert(
            name,
            "0 6 * * MON",
            "Europe/Zurich",
            Report { customer: 42 },
        )
        .await?;
    // Not to wait until Monday.
    schedules.run_now(name).await?;
    schedules.pause("backup").await?;
    tx.commit().await?;
    loop {
        let line = lines.recv().await.unwrap_or_default();
        if line.starts_with("report") {
            println!("{line}");
            break;
        }
    }

    let mut db = pool.acquire().await?;
    let at = |text| DateTime::parse_from_rfc3339(text).map(|at| at.with_timezone(&Utc));
    let span = at("2026-06-01T00:00:00Z")?..at("2026-06-01T00:00:03Z")?;
    let task_ids = taskq::schedules(&mut db).backfill("backup", span).await?;
    println!("backups of June by hand: {}", task_ids.len());
    Ok(())
}

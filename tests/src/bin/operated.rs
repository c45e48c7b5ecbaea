//! A worker's binary with its command line, for the tests to use.

use std::process::ExitCode;
use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use taskq::{Worker, task};

#[task(queue = "mail", alias = "post_card", timeout = "30s")]
async fn send_card(
    usr_id: i64,
    #[serde(default, alias = "lang")] locale: Option<String>,
) -> Result<(), String> {
    println!("card to {usr_id} in {locale:?}");
    if locale.as_deref() == Some("slow") {
        let slow = || std::thread::sleep(Duration::from_secs(600));
        let slow = tokio::task::spawn_blocking(slow).await;
        slow.map_err(|error| error.to_string())?;
    }
    Ok(())
}

#[task(version = 2, upgrade = from_days)]
async fn purge(tx: &mut taskq::Tx, hours: u32) {
    let _ = (tx, hours);
}

#[task(
    cron = "0 2 * * *",
    timezone = "Europe/Zurich",
    catch_up = "all",
    catch_up_within = "12h",
    overlap = "skip",
    jitter = "30s"
)]
async fn nightly() {}

fn from_days(days: u32) -> Purge {
    Purge { hours: days * 24 }
}

#[tokio::main]
async fn main() -> ExitCode {
    let url = std::env::var("DATABASE_URL").unwrap_or("postgres://nowhere.invalid/none".into());
    let pool = PgPoolOptions::new()
        .max_connections(30)
        .connect_lazy(&url)
        .expect("a URL");
    let mut worker = Worker::builder(pool).queue("mail", 2);
    if std::env::var_os("NO_GRACE").is_some() {
        worker = worker.grace_period(Duration::ZERO);
    }
    let code = taskq::cli::main(worker.only::<(SendCard, Purge, Nightly)>()).await;
    if std::env::var_os("REPORT_PEAK").is_some() {
        eprint!("{}", peak());
    }
    code
}

/// Says how much memory this process had at the most.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    format!("{}\n", line.unwrap_or_default())
}

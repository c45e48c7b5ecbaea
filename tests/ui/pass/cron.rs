//! Schedules: every option, five and six fields, zones with odd names.
#![forbid(unsafe_code)]
#![deny(warnings)]

use taskq::handler::Task;
use taskq::Attempt;

#[taskq::task(
    cron = "0 9 * * MON-FRI",
    timezone = "Europe/Zurich",
    catch_up = "all",
    catch_up_within = "1d",
    overlap = "one_waiting",
    jitter = "30s"
)]
async fn digest(attempt: &Attempt, locale: Option<String>, #[serde(default)] limit: u32) {
    let _ = (attempt.tick(), locale, limit);
}

#[taskq::task(cron = "*/10 * * * * *", catch_up = "none", overlap = "skip")]
async fn often() {}

#[taskq::task(cron = "@daily", timezone = "America/Argentina/Buenos_Aires")]
async fn three_parts() {}

#[taskq::task(cron = "0 0 L * *", timezone = "America/Port-au-Prince")]
async fn hyphens() {}

#[taskq::task(cron = "0 0 * * friL", timezone = "Etc/GMT+5")]
async fn plus() {}

#[taskq::task(cron = "0 0 * * mon#1", timezone = "Etc/GMT-14")]
async fn minus() {}

#[taskq::task(cron = "0 0 * * *", timezone = "UTC", catch_up = "once", overlap = "allow")]
async fn utc() {}

fn main() {
    let _ = (Digest::DECLARATION, Utc::DECLARATION);
}

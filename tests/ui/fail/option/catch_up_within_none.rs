#[taskq::task(cron = "0 3 * * *", catch_up = "none", catch_up_within = "1d")]
async fn purge() {}

fn main() {}

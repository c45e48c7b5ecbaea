#[taskq::task(cron = "0 3 * * *", catch_up = "some", overlap = "never", jitter = "0s")]
async fn purge() {}

fn main() {}

#[taskq::task(cron = "0 24 * * *")]
async fn purge() {}

fn main() {}

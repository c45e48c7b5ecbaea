#[taskq::task(cron = "0 0 3 * * *")]
async fn purge() {}

fn main() {}

#[taskq::task(cron = "0 0 30 2 *")]
async fn purge() {}

fn main() {}

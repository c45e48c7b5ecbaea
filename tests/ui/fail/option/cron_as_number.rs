#[taskq::task(cron = 5)]
async fn purge() {}

fn main() {}

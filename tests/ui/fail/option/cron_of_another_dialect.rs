#[taskq::task(cron = "0 0 12 ? * MON-FRI")]
async fn purge() {}

fn main() {}

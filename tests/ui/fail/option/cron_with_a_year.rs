#[taskq::task(cron = "0 0 12 * * MON-FRI 2030")]
async fn purge() {}

fn main() {}

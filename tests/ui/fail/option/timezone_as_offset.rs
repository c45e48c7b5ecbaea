#[taskq::task(cron = "0 3 * * *", timezone = "+02:00")]
async fn purge() {}

fn main() {}

#[taskq::task(cron = "0 3 * * *", timezone = "Europe/Atlantis")]
async fn purge() {}

fn main() {}

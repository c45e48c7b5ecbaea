#[taskq::task(cron = "0 4 * * *")]
async fn send_mail(_to: String) {}

fn main() {}

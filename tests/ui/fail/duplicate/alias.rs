#[taskq::task(alias = ["old", "older", "old"])]
async fn send_mail(_to: String) {}

fn main() {}

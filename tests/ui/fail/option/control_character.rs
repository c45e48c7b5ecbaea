#[taskq::task(alias = ["old", "old\n"])]
async fn send_mail(_to: String) {}

fn main() {}

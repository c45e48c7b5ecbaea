#[taskq::task(queue = "mail" priority = 1)]
async fn send_mail(_to: String) {}

fn main() {}

#[taskq::task(queue = "mail", priority = 1, queue = "default")]
async fn send_mail(_to: String) {}

fn main() {}

#[taskq::task(timeout = "30x")]
async fn send_mail(_to: String) {}

fn main() {}

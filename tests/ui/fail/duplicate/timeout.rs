#[taskq::task(timeout = "1s", timeout = "x")]
async fn send_mail(_to: String) {}

fn main() {}

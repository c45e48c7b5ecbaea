#[taskq::task(keep = "7x")]
async fn send_mail(_to: String) {}

fn main() {}

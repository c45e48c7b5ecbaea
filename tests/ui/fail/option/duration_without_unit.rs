#[taskq::task(timeout = "30")]
async fn send_mail(_to: String) {}

fn main() {}

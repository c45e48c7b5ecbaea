#[taskq::task(max_attempts = -1)]
async fn send_mail(_to: String) {}

fn main() {}

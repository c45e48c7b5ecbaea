#[taskq::task(max_attempts = 65536)]
async fn send_mail(_to: String) {}

fn main() {}

#[taskq::task(max_attempts = 0)]
async fn send_mail(_to: String) {}

fn main() {}

#[taskq::task(retries)]
async fn send_mail(_to: String) {}

fn main() {}

#[taskq::task(alias = 1)]
async fn send_mail(_to: String) {}

fn main() {}

#[taskq::task(crate = 1)]
async fn send_mail(_to: String) {}

fn main() {}

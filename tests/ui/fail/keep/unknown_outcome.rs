#[taskq::task(keep(done = "7d"))]
async fn send_mail(_to: String) {}

fn main() {}

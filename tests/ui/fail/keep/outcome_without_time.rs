#[taskq::task(keep(completed, discarded = "7d"))]
async fn send_mail(_to: String) {}

fn main() {}

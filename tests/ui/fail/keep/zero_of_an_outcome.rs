#[taskq::task(keep(discarded = "0d"))]
async fn send_mail(_to: String) {}

fn main() {}

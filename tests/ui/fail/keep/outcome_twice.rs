#[taskq::task(keep(discarded = "7d", discarded = "8d"))]
async fn send_mail(_to: String) {}

fn main() {}

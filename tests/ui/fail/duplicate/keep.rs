#[taskq::task(keep = "7d", queue = "mail", keep(discarded = "30d"))]
async fn send_mail(_to: String) {}

fn main() {}

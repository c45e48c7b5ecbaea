#[taskq::task(priority = "high")]
async fn send_mail(_to: String) {}

fn main() {}

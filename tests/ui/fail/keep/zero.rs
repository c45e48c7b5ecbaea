#[taskq::task(keep = "0s")]
async fn send_mail(_to: String) {}

fn main() {}

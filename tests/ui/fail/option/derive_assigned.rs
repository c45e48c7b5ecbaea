#[taskq::task(derive = "Clone")]
async fn send_mail(_to: String) {}

fn main() {}

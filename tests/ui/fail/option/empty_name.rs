#[taskq::task(name = "")]
async fn send_mail(_to: String) {}

fn main() {}

#[taskq::task(alias = "send_mail")]
async fn send_mail(_to: String) {}

fn main() {}

#[taskq::task("send_mail")]
async fn send_mail(_to: String) {}

fn main() {}

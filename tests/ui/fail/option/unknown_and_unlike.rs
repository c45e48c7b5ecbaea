#[taskq::task(kind = "mail")]
async fn send_mail(_to: String) {}

fn main() {}

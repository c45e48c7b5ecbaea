#[taskq::task]
const async fn send_mail(_to: String) {}

fn main() {}

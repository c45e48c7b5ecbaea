#[taskq::task(keep = 7)]
async fn send_mail(_to: String) {}

fn main() {}

#[taskq::task(timeout = "99999999999d")]
async fn send_mail(_to: String) {}

fn main() {}

#[taskq::task(name = "a", name = "b")]
async fn send_mail(_to: String) {}

fn main() {}

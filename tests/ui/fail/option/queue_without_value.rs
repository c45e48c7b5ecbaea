#[taskq::task(queue)]
async fn send_mail(_to: String) {}

fn main() {}

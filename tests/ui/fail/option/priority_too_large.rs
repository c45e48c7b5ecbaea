#[taskq::task(priority = 40000)]
async fn send_mail(_to: String) {}

fn main() {}

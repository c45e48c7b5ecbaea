#[taskq::task(queue = "mail")]
#[taskq::task(priority = 1)]
async fn send_mail(_to: String) {}

fn main() {}

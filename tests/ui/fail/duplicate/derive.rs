#[taskq::task(derive(Clone), derive(Debug))]
async fn send_mail(_to: String) {}

fn main() {}

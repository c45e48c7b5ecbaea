#[taskq::task]
async fn send_mail(_to: String, _rest: ...) {}

fn main() {}

#[taskq::task]
async fn send_mail(_to: impl ToString + Send) {}

fn main() {}

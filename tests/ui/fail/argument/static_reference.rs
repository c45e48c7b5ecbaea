#[taskq::task]
async fn send_mail(_config: &'static u8) {}

fn main() {}

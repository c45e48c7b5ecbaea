#[taskq::task(crate = crate::facade)]
async fn send_mail(_to: String) {}

mod facade {}

fn main() {}

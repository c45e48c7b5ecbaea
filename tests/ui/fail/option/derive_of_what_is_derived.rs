#[taskq::task(derive(Clone, serde::Serialize))]
async fn send_mail(_to: String) {}

fn main() {}

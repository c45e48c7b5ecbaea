#[taskq::task]
async fn send_mail(#[serde(default)] _config: &u8) {}

fn main() {}

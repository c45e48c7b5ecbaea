#[taskq::task]
async fn send_mail(#[inject(config)] _config: std::sync::Arc<u8>) {}

fn main() {}

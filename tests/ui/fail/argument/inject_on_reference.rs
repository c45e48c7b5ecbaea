#[taskq::task]
async fn send_mail(#[inject] _config: &u8) {}

fn main() {}

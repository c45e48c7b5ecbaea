#[taskq::task]
async fn send_mail<const N: usize>(_to: [u8; N]) {}

fn main() {}

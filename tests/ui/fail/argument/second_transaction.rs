#[taskq::task]
async fn send_mail(_tx: &mut taskq::Tx, _counter: &mut u64) {}

fn main() {}

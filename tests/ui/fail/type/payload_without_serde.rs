pub struct Address;

#[taskq::task]
async fn send_mail(_to: Address, _id: i64) {}

fn main() {}

#[derive(serde::Serialize)]
struct Address;

#[taskq::task]
async fn send_mail(_to: Vec<Address>) {}

fn main() {}

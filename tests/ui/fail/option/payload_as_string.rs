#[taskq::task(payload = "SendMail")]
async fn send_mail(_to: String) {}

fn main() {}

struct Mailer;

#[taskq::task]
async fn send_mail(_mailer: &mut Mailer, _to: String) {}

fn main() {}

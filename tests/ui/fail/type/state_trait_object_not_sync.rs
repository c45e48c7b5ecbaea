trait Mailer {}

#[taskq::task]
async fn send_mail(_mailer: &dyn Mailer, _to: String) {}

fn main() {}

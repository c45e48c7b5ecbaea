struct Mailer;

#[taskq::task]
async fn send_mail(#[inject] _mailer: Mailer, _to: String) {}

fn main() {}

struct Mailer;

#[taskq::task]
async fn mailer(_mailer: &Mailer, _to: String) {}

fn main() {}

#[taskq::task]
async fn send_mail(_mailer: &(impl Fn(i64) + Send + Sync), to: i64) {
    let _ = SendMail { to };
}

fn main() {}

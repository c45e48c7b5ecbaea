struct SendMail;

#[taskq::task]
async fn send_mail() {}

fn main() {}

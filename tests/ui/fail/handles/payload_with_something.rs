#[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
struct SendMail {
    usr_id: i64,
}

#[taskq::task]
async fn send_mail(#[payload(SendMail)] mail: SendMail) {
    let _ = mail.usr_id;
}

fn main() {}

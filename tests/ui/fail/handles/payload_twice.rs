#[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
struct SendMail {
    usr_id: i64,
}

#[taskq::task]
async fn send_mail(#[payload] mail: SendMail, #[payload] again: SendMail) {
    let _ = (mail.usr_id, again.usr_id);
}

fn main() {}

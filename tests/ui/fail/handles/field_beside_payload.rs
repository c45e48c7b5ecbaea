#[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
struct SendMail {
    usr_id: i64,
}

#[taskq::task]
async fn send_mail(#[payload] mail: SendMail, locale: String) {
    let _ = (mail.usr_id, locale);
}

fn main() {}

#[derive(serde::Serialize, serde::Deserialize)]
struct SendMail {
    usr_id: i64,
}

#[taskq::task(handles = SendMail)]
async fn send_mail(usr_id: i64) {
    let _ = usr_id;
}

fn main() {}

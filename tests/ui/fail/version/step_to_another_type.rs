#[derive(serde::Deserialize)]
struct SendMailV1 {
    usr: i64,
}

#[taskq::task(version = 2, upgrade = from_v1)]
async fn send_mail(usr_id: i64) {
    let _ = usr_id;
}

fn from_v1(old: SendMailV1) -> i64 {
    old.usr
}

fn main() {}

struct SendMailV1 {
    usr: i64,
}

#[taskq::task(version = 2, upgrade = from_v1)]
async fn send_mail(usr_id: i64) {
    let _ = usr_id;
}

fn from_v1(old: SendMailV1) -> SendMail {
    SendMail { usr_id: old.usr }
}

fn main() {}

#[taskq::task(version = 2, upgrade = |old: i64| SendMail { usr_id: old })]
async fn send_mail(usr_id: i64) {
    let _ = usr_id;
}

fn main() {}

#[taskq::task(version = 2, upgrade = FROM_V1)]
async fn send_mail(usr_id: i64) {
    let _ = usr_id;
}

const FROM_V1: i64 = 1;

fn main() {}

#[taskq::task(version = 2)]
async fn send_mail(usr_id: i64) {
    let _ = usr_id;
}

fn main() {}

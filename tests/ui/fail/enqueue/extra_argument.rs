#[taskq::task]
async fn send_mail(usr_id: i64) {
    let _ = usr_id;
}

async fn signup(tx: &mut sqlx::PgConnection) {
    let _ = SendMail::enqueue(tx, 1, "de").await;
}

fn main() {}

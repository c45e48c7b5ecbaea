#[taskq::task]
async fn send_mail(usr_id: i64) {
    let _ = usr_id;
}

async fn test(tx: &mut sqlx::PgConnection) {
    taskq::refute_enqueued!(tx, SendMail { .. }, due = 5);
}

fn main() {}

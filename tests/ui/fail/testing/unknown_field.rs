#[taskq::task]
async fn send_mail(usr_id: i64, locale: Option<String>) {
    let _ = (usr_id, locale);
}

async fn test(tx: &mut sqlx::PgConnection) {
    taskq::all_enqueued!(tx, SendMail { usr: 42, .. });
}

fn main() {}

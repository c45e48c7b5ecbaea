#[taskq::task]
async fn send_mail(usr_id: i64, locale: Option<String>) {
    let _ = (usr_id, locale);
}

async fn test(tx: &mut sqlx::PgConnection) {
    taskq::assert_enqueued!(tx, SendMail { usr_id: "42", locale: None });
}

fn main() {}

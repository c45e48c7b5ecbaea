#[taskq::task]
fn send_mail(to: String) {
    drop(to);
}

async fn use_it(conn: &mut sqlx::PgConnection) {
    send_mail("a@b.c".to_owned());
    let _ = SendMail::enqueue(conn, "a@b.c".to_owned());
}

fn main() {}

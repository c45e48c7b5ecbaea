#[taskq::task(quue = "mail", timeout = "30x", max_attempts = 0, priority = 1, priority = 2)]
fn send_mail<T>((to, _): (String, T), id: i64, #[cfg(all())] name: &str) {
    drop((to, id, name));
}

async fn use_it(conn: &mut sqlx::PgConnection) {
    send_mail(("a@b.c".to_owned(), ()), 1, "Ann");
    let _ = SendMail::enqueue(conn, 1);
    let _ = taskq::enqueue(conn, SendMail { id: 1 });
    only::<(SendMail,)>();
}

fn only<T: taskq::handler::TaskSet>() {}

fn main() {}

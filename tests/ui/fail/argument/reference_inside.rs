#[taskq::task]
async fn send_mail(_config: Option<&u8>, id: i64) {
    drop(id);
}

async fn enqueue(conn: &mut sqlx::PgConnection) {
    let _ = SendMail::enqueue(conn, None, 1);
}

fn main() {}

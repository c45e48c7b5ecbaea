struct Mail;

async fn signup(tx: &mut sqlx::PgConnection) {
    let _ = taskq::enqueue(tx, Mail);
}

fn main() {}

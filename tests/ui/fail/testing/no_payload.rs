struct Mail {
    usr_id: i64,
}

async fn test(tx: &mut sqlx::PgConnection) {
    taskq::assert_enqueued!(tx, Mail { usr_id: 42, .. });
}

fn main() {}

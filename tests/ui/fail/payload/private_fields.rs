mod contracts {
    #[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
    pub struct SendMail {
        usr_id: i64,
    }
}

async fn signup(tx: &mut sqlx::PgConnection) {
    let _ = contracts::SendMail::enqueue(tx, 1).await;
}

fn main() {}

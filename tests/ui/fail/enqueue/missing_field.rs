#[taskq::task]
async fn send_mail(_usr_id: i64, _to: String, _locale: Option<String>) {}

async fn signup(tx: &mut sqlx::PgConnection) -> Result<(), taskq::EnqueueError> {
    let to = String::new();
    taskq::enqueue(tx, SendMail { usr_id: 1, to }).await?;
    Ok(())
}

fn main() {}

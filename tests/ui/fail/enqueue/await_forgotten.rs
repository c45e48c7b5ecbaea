#[taskq::task]
async fn send_mail(_usr_id: i64, _to: String, _locale: Option<String>) {}

async fn signup(tx: &mut sqlx::PgConnection) -> Result<(), taskq::EnqueueError> {
    SendMail::enqueue(tx, 1, String::new(), None)?;
    Ok(())
}

fn main() {}

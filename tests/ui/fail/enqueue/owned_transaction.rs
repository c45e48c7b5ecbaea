#[taskq::task]
async fn send_mail(_usr_id: i64, _to: String, _locale: Option<String>) {}

async fn signup(tx: sqlx::Transaction<'_, sqlx::Postgres>) -> Result<(), taskq::EnqueueError> {
    SendMail::enqueue(tx, 1, String::new(), None).await?;
    Ok(())
}

fn main() {}

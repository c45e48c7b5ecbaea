#[taskq::task]
async fn send_mail(_usr_id: i64, _to: String, _locale: Option<String>) {}

async fn signup(pool: sqlx::PgPool) -> Result<(), taskq::EnqueueError> {
    SendMail::enqueue(&pool, 1, String::new(), None).await?;
    Ok(())
}

fn main() {}

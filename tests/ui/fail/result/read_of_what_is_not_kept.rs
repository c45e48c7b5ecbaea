#[taskq::task]
async fn charge(_order_id: i64) -> Result<u64, String> {
    Ok(1)
}

async fn receipt(db: &mut sqlx::PgConnection) {
    let _ = taskq::result::<Charge>(db, 1).await;
}

fn main() {}

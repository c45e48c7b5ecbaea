use std::time::Duration;

#[taskq::task]
async fn resize(_image_id: i64) -> Result<(), std::io::Error> {
    Ok(())
}

async fn sizes(pool: &sqlx::PgPool, conn: &mut sqlx::PgConnection) {
    let Ok(task) = Resize::enqueue(conn, 1).await else { return };
    let _ = task.wait(pool, Duration::from_secs(30)).await;
}

fn main() {
    let _ = sizes;
}

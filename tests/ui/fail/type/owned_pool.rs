#[taskq::task]
async fn send_mail(_pool: sqlx::PgPool, _to: String) {}

fn main() {}

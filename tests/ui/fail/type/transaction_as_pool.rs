#[taskq::task]
async fn send_mail(_pool: &mut sqlx::PgPool, _to: String) {}

fn main() {}

#[taskq::task(on_discard = told)]
async fn charge() {}

fn told(_: Charge, _: taskq::Discarded<'_>, _: &mut sqlx::PgConnection) {}

fn main() {}

#[taskq::task(encrypted = "payload", concurrency(5, key = tenant_id))]
async fn charge(_tenant_id: i64, _card: String) {}

fn main() {}

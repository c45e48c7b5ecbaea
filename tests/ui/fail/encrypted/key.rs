#[taskq::task(unique(fields(card)))]
async fn charge(_order_id: i64, #[encrypted] _card: String) {}

fn main() {}

#[taskq::task(result = "keep")]
async fn charge(_order_id: i64) {}

fn main() {}

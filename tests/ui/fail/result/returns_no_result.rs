#[taskq::task(result = "keep")]
async fn charge(_order_id: i64) -> u64 {
    1
}

fn main() {}

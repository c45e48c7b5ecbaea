#[taskq::task(result = "keep", keep = "none")]
async fn charge(_order_id: i64) -> Result<u64, String> {
    Ok(1)
}

fn main() {}

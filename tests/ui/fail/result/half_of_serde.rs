#[derive(serde::Serialize)]
struct Receipt;

#[taskq::task(result = "keep")]
async fn charge(_order_id: i64) -> anyhow::Result<Receipt> {
    Ok(Receipt)
}

fn main() {}

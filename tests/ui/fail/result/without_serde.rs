struct Receipt;

#[taskq::task(result = "keep")]
async fn charge(_order_id: i64) -> Result<Receipt, String> {
    Ok(Receipt)
}

fn main() {}

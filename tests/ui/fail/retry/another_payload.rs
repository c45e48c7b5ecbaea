#[taskq::task(retry = by_amount)]
async fn charge(amount: i64) {
    let _ = amount;
}

fn by_amount(amount: &i64, _: u16, _: &dyn std::error::Error) -> std::time::Duration {
    std::time::Duration::from_secs(amount.unsigned_abs())
}

fn main() {}

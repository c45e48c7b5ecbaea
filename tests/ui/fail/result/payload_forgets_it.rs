#[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
struct Charge {
    order_id: i64,
}

#[taskq::task(handles = Charge, result = "keep")]
async fn charge(order_id: i64) -> Result<i64, String> {
    Ok(order_id)
}

fn main() {}

#[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
#[taskq(result = "keep")]
struct Charge {
    order_id: i64,
}

fn main() {}

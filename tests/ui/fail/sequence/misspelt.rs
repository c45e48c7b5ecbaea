//! A sequence is by fields that there are.

#[taskq::task(sequence = order)]
async fn unknown_field(_order_id: i64) {}

#[taskq::task(sequence(order_id, order_id))]
async fn twice(_order_id: i64) {}

#[taskq::task(sequence = "order_id")]
async fn not_a_field(_order_id: i64) {}

#[taskq::task(sequence = order_id, on_dead = "stop")]
async fn unknown_word(_order_id: i64) {}

#[taskq::task(fifo = order_id)]
async fn another_word(_order_id: i64) {}

#[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
#[serde(rename_all = "camelCase")]
#[taskq(sequence = order_id)]
struct Renamed {
    order_id: i64,
}

fn main() {}

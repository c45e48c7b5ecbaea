//! What cannot stand beside a sequence.

#[taskq::task(sequence = order_id, order = "random")]
async fn no_order(_order_id: i64) {}

#[taskq::task(sequence = order_id, concurrency(5, key = order_id))]
async fn five_at_once(_order_id: i64) {}

#[taskq::task(sequence = order_id, rate("5/s", key = region))]
async fn two_keys(_order_id: i64, region: String) {
    drop(region);
}

#[taskq::task(on_dead = "skip")]
async fn no_sequence(_order_id: i64) {}

fn main() {}

//! What cannot stand beside fair turns.

#[taskq::task(fair = tenant_id, order = "random")]
async fn no_order(_tenant_id: i64) {}

#[taskq::task(fair = tenant_id, sequence = order_id)]
async fn one_after_the_other(_tenant_id: i64, _order_id: i64) {}

#[taskq::task(fair = tenant_id, concurrency(5, key = region))]
async fn two_keys(_tenant_id: i64, region: String) {
    drop(region);
}

fn main() {}

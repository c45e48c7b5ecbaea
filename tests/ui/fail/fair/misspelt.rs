//! Keys that take turns are made of fields that there are.

#[taskq::task(fair = tenant)]
async fn unknown_field(_tenant_id: i64) {}

#[taskq::task(fair(tenant_id, tenant_id))]
async fn twice(_tenant_id: i64) {}

#[taskq::task(fair = "tenant_id")]
async fn not_a_field(_tenant_id: i64) {}

#[taskq::task(order = "fair")]
async fn another_way(_tenant_id: i64) {}

#[taskq::task(round_robin = tenant_id)]
async fn another_word(_tenant_id: i64) {}

fn main() {}

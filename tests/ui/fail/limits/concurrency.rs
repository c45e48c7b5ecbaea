//! How many run at once is a number from 1 on, of the type or of each key.

#[taskq::task(concurrency = 0)]
async fn none() {}

#[taskq::task(concurrency = "10")]
async fn text() {}

#[taskq::task(concurrency())]
async fn nothing() {}

#[taskq::task(concurrency(5, by = tenant_id))]
async fn unknown_word(_tenant_id: i64) {}

#[taskq::task(concurrency(5, key = tenant_id, key = tenant_id))]
async fn twice(_tenant_id: i64) {}

#[taskq::task(concurrency(5, key = "tenant_id"))]
async fn quoted(_tenant_id: i64) {}

#[taskq::task(concurrency(3_000_000_000))]
async fn too_many() {}

fn main() {}

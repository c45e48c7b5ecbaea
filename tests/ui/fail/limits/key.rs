//! A key is made of fields that there are, and a task has one.

#[taskq::task(concurrency(5, key = tenant))]
async fn unknown_field(_tenant_id: i64) {}

#[taskq::task(rate("5/s", key(tenant_id, tenant_id)))]
async fn twice(_tenant_id: i64) {}

#[taskq::task(concurrency(5, key = tenant_id), rate("5/s", key = region))]
async fn two_keys(_tenant_id: i64, region: String) {
    drop(region);
}

#[taskq::task(concurrency(5, key = tenant_id), order = "random")]
async fn no_order(_tenant_id: i64) {}

#[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
#[serde(rename_all = "camelCase")]
#[taskq(concurrency(5, key = tenant_id))]
struct Renamed {
    tenant_id: i64,
}

fn main() {}

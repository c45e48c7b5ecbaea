//! Keys are made of fields that there are, and of options that fit together.

#[taskq::task(unique(fields(usr, locale)))]
async fn unknown_field(_usr_id: i64, locale: String) {
    drop(locale);
}

#[taskq::task(unique(fields(more)))]
async fn no_name(#[serde(flatten)] more: std::collections::BTreeMap<String, i64>) {
    drop(more);
}

#[taskq::task(unique(fields(usr_id, usr_id)))]
async fn twice(_usr_id: i64) {}

#[taskq::task(unique = "fields")]
async fn word() {}

#[taskq::task(unique(per = "hour"))]
async fn unknown_word() {}

#[taskq::task(unique(until = "monday"))]
async fn until() {}

#[taskq::task(unique(until = "done", within = "1h"))]
async fn until_and_within() {}

#[taskq::task(unique(within = "1 hour"))]
async fn within() {}

#[taskq::task(unique(on_conflict = "push_back"))]
async fn for_ever() {}

#[taskq::task(unique(at_latest = "5m"))]
async fn at_latest() {}

#[taskq::task(unique(on_conflict = "drop"))]
async fn on_conflict() {}

#[taskq::task(unique(until = "again", on_conflict = "keep"))]
async fn newest() {}

#[taskq::task(unique(fields()))]
async fn no_fields() {}

#[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
#[serde(rename_all = "camelCase")]
#[taskq(unique(fields(usr_id)))]
struct Renamed {
    usr_id: i64,
}

fn main() {}

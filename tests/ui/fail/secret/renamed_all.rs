#[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
#[serde(rename_all = "camelCase")]
struct Connect {
    #[taskq(secret)]
    api_token: String,
}

fn main() {}

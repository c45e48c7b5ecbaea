#[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
#[taskq(timeout = "30s")]
struct SendMail {
    usr_id: i64,
}

fn main() {}

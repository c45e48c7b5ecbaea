#[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
#[taskq]
struct SendMail {
    usr_id: i64,
}

fn main() {}

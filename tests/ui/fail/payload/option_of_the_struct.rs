#[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
#[taskq(derive(Clone))]
struct SendMail {
    usr_id: i64,
}

fn main() {}

#[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
#[taskq(queue = "mail")]
#[taskq(queue = "bulk")]
struct SendMail {
    usr_id: i64,
}

fn main() {}

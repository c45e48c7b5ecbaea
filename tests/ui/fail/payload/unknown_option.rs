#[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
#[taskq(quue = "mail")]
struct SendMail {
    usr_id: i64,
}

fn main() {}

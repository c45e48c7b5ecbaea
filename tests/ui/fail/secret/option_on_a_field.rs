#[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
struct Connect {
    #[taskq(queue = "mail")]
    token: String,
}

fn main() {}

#[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
enum Connect {
    ByToken {
        #[taskq(secret)]
        token: String,
    },
}

fn main() {}

#[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
#[taskq(encrypted = "payload")]
enum Charge {
    Card { number: String },
}

fn main() {}

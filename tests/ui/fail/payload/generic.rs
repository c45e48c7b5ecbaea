#[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
struct SendMail<T> {
    to: T,
}

fn main() {}

#[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
struct SendPush {
    to: String,
}

#[taskq::task]
async fn push(#[batch(1000, "50ms")] pushes: Vec<SendPush>, #[batch(1, "1s")] more: Vec<SendPush>) {
    let _ = (pushes, more);
}

fn main() {}

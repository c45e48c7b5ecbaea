#[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
struct SendPush {
    to: String,
}

#[taskq::task]
async fn push(#[batch(0, "50ms")] pushes: Vec<SendPush>) {
    let _ = pushes;
}

#[taskq::task]
async fn push_many(#[batch(10_001, "50ms")] pushes: Vec<SendPush>) {
    let _ = pushes;
}

fn main() {}

#[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
struct SendPush {
    to: String,
}

#[taskq::task]
async fn push(#[batch(1000, "50ms")] pushes: Vec<SendPush>, attempt: &taskq::Attempt) {
    let _ = (pushes, attempt);
}

fn main() {}

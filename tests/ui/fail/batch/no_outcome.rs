#[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
struct SendPush {
    to: String,
}

#[taskq::task]
async fn push(#[batch(1000, "50ms")] pushes: Vec<SendPush>) -> Vec<i64> {
    let _ = pushes;
    vec![1]
}

fn main() {}

#[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
struct SendPush {
    to: String,
}

#[taskq::task]
async fn push(#[batch(1000, "50ms")] pushes: Vec<SendPush>, to: String) {
    let _ = (pushes, to);
}

fn main() {}

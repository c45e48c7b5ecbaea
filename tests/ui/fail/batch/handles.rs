#[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
struct SendPush {
    to: String,
}

#[taskq::task(handles = SendPush)]
async fn push(#[batch(1000, "50ms")] pushes: Vec<SendPush>) {
    let _ = pushes;
}

fn main() {}

#[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
struct SendPush {
    to: String,
}

#[taskq::task]
async fn push(#[batch] pushes: Vec<SendPush>) {
    let _ = pushes;
}

fn main() {}

#[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
struct SendPush {
    to: String,
}

#[taskq::task]
async fn push(#[batch(1000, "2m")] pushes: Vec<SendPush>) {
    let _ = pushes;
}

#[taskq::task]
async fn push_soon(#[batch(1000, "soon")] pushes: Vec<SendPush>) {
    let _ = pushes;
}

fn main() {}

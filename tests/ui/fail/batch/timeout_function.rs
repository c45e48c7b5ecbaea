#[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
struct SendPush {
    to: String,
}

#[taskq::task(timeout = by_length)]
async fn push(#[batch(1000, "50ms")] pushes: Vec<SendPush>) {
    let _ = pushes;
}

fn by_length(push: &SendPush) -> std::time::Duration {
    std::time::Duration::from_secs(push.to.len() as u64)
}

fn main() {}

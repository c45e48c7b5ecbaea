#[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
#[taskq(result = i64)]
struct SendPush {
    to: String,
}

#[taskq::task(result = "keep")]
async fn push(#[batch(1000, "50ms")] pushes: Vec<SendPush>) -> Result<i64, String> {
    let _ = pushes;
    Ok(1)
}

fn main() {}

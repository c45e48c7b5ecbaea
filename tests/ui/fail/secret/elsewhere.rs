#[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
struct Connect {
    token: String,
}

#[taskq::task(handles = Connect)]
async fn connect(#[secret] token: String) {
    let _ = token;
}

fn main() {}

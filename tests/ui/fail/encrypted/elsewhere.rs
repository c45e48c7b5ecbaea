#[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
struct Charge {
    card: String,
}

#[taskq::task(handles = Charge)]
async fn charge(#[encrypted] _card: String) {}

fn main() {}

#[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
struct SavePoint {
    at: i64,
}

#[taskq::task(batch(1000, "50ms"))]
async fn save_points(points: Vec<SavePoint>) {
    let _ = points;
}

fn main() {}

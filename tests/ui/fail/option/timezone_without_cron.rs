#[taskq::task(timezone = "Europe/Zurich", overlap = "skip")]
async fn purge() {}

fn main() {}

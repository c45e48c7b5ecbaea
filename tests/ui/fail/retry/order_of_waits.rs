#[taskq::task(retry = "exponential(6h, 5s)")]
async fn charge() {}

fn main() {}

#[taskq::task(retry = "linear(10s)")]
async fn charge() {}

fn main() {}

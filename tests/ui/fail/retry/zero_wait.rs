#[taskq::task(retry = "10s, 0s")]
async fn charge() {}

fn main() {}

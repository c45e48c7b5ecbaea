#[taskq::task(backoff = "exponential")]
async fn charge() {}

fn main() {}

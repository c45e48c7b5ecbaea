#[taskq::task(retry = "sometimes")]
async fn charge() {}

fn main() {}

#[taskq::task(retry = "10, 60")]
async fn charge() {}

fn main() {}

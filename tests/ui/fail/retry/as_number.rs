#[taskq::task(retry = 5)]
async fn charge() {}

fn main() {}

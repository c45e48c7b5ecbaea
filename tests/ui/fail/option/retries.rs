#[taskq::task(retries = 3)]
async fn charge() {}

fn main() {}

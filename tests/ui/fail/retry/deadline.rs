#[taskq::task(deadline = "2d")]
async fn charge() {}

fn main() {}

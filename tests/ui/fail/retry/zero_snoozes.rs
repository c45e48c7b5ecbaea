#[taskq::task(max_snoozes = 0)]
async fn charge() {}

fn main() {}

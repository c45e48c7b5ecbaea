#[taskq::task(give_up_after = "0s")]
async fn charge() {}

fn main() {}

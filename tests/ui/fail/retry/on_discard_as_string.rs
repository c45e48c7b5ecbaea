#[taskq::task(on_discard = "told")]
async fn charge() {}

fn main() {}

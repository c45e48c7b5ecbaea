#[taskq::task]
async fn _1(_to: String) {}

fn main() {}

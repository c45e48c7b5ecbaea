#[taskq::task]
async fn charge(#[encrypted] _config: &u8) {}

fn main() {}

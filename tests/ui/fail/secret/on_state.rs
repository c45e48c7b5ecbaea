#[taskq::task]
async fn connect(#[secret] _config: &u8) {}

fn main() {}

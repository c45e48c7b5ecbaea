#[taskq::task(encrypted = "card")]
async fn charge(_card: String) {}

fn main() {}

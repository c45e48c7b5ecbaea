#[taskq::task]
async fn connect(#[secret(token)] _token: String) {}

fn main() {}

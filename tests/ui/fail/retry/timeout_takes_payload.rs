#[taskq::task(timeout = for_ever)]
async fn charge() {}

fn for_ever(_: Charge) -> std::time::Duration {
    std::time::Duration::MAX
}

fn main() {}

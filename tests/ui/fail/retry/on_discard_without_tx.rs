#[taskq::task(on_discard = told)]
async fn charge() {}

async fn told(_: Charge, _: taskq::Discarded<'_>) {}

fn main() {}

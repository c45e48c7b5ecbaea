#[taskq::task(retry = in_seconds)]
async fn charge() {}

fn in_seconds(_: &Charge, attempt: u16, _: &dyn std::error::Error) -> u64 {
    attempt.into()
}

fn main() {}

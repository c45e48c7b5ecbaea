//! How fast tasks start is a number of starts and a time.

#[taskq::task(rate = 100)]
async fn number() {}

#[taskq::task(rate = "100")]
async fn no_time() {}

#[taskq::task(rate = "100/fortnight")]
async fn unknown_time() {}

#[taskq::task(rate = "0/s")]
async fn none() {}

#[taskq::task(rate("5/s", burst = 0))]
async fn no_burst() {}

#[taskq::task(rate("5/s", burst = "20"))]
async fn burst_as_text() {}

#[taskq::task(rate("5/s", cost = 2))]
async fn unknown_word() {}

fn main() {}

#[taskq::task(order = "shuffled")]
async fn send_email_welcome(usr_id: i64) {}

fn main() {}

#[taskq::task]
async fn send_mail(#[serde(defalt)] _to: String) {}

fn main() {}

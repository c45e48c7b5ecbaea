#[taskq::task]
async fn send_mail(_to: String) -> bool {
    true
}

fn main() {}

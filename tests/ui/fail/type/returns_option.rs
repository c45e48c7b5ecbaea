#[taskq::task]
async fn send_mail(_to: String) -> Option<()> {
    None
}

fn main() {}

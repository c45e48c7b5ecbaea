#[taskq::task]
async fn send_mail(to: &str) {
    drop(to.len());
}

fn main() {}

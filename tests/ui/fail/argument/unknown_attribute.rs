#[taskq::task]
async fn send_mail(#[payload] to: String) {
    drop(to);
}

fn main() {}

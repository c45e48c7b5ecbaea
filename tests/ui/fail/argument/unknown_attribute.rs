#[taskq::task]
async fn send_mail(#[field] to: String) {
    drop(to);
}

fn main() {}

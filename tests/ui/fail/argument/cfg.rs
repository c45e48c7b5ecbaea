#[taskq::task]
async fn send_mail(#[cfg(all())] to: String) {
    drop(to);
}

fn main() {}

#[taskq::task]
async fn send_mail(to: &[String]) {
    drop(to.len());
}

fn main() {}

struct Mailer;

#[taskq::task]
impl Mailer {
    async fn send(&self) {}
}

async fn send(mailer: Mailer) {
    mailer.send().await
}

fn main() {}

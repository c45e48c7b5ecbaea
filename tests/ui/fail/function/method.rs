struct Mailer;

impl Mailer {
    #[taskq::task]
    async fn send(&self, _to: String) {}
}

async fn send(mailer: Mailer) {
    mailer.send("a@b.c".to_owned()).await
}

fn main() {}

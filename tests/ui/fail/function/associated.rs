struct Mailer;

impl Mailer {
    #[taskq::task]
    async fn send(_to: String) {}
}

fn main() {}

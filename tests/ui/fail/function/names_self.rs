struct Mailer;

impl Mailer {
    #[taskq::task]
    async fn send(_to: String) -> Result<(), Box<Self>> {
        Ok(())
    }
}

fn main() {}

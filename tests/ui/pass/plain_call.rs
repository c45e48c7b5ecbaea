//! The handler stays a function, and a test calls it with its own state.

#![forbid(unsafe_code)]
#![deny(warnings, missing_docs)]

use std::sync::Mutex;

trait Mailer: Send + Sync {
    fn send(&self, to: i64);
}

#[derive(Default)]
struct FakeMailer(Mutex<Vec<i64>>);

impl Mailer for FakeMailer {
    fn send(&self, to: i64) {
        self.0.lock().unwrap().push(to);
    }
}

#[taskq::task]
async fn send_email_welcome(mailer: &dyn Mailer, usr_id: i64) -> anyhow::Result<()> {
    mailer.send(usr_id);
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mailer = FakeMailer::default();
    send_email_welcome(&mailer, 42).await.unwrap();
    assert_eq!(*mailer.0.lock().unwrap(), [42]);
}

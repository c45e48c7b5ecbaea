//! A `&` borrows worker state: a type, a trait object, a slice's owner, the attempt.

#![forbid(unsafe_code)]
#![deny(warnings, missing_docs)]

use std::sync::Arc;

struct Config {
    sender: String,
}

trait Mailer: Send + Sync {
    fn send(&self, to: &str);
}

type Shared = dyn Mailer;

#[taskq::task]
async fn send_mail(
    config: &Config,
    mailer: &dyn Mailer,
    alias: &Shared,
    with_bounds: &(dyn Fn(&str) -> bool + Send + Sync),
    pool: &sqlx::PgPool,
    attempt: &taskq::Attempt,
    #[inject] shared: Arc<Config>,
    #[inject] shared_object: Arc<dyn Mailer>,
    to: String,
) {
    if with_bounds(&to) && !pool.is_closed() && attempt.number() == 1 {
        mailer.send(&config.sender);
    }
    alias.send(&shared.sender);
    shared_object.send(&to);
}

fn main() {
    let _ = SendMail {
        to: "a@b.c".to_owned(),
    };
}

struct Mailer;

#[taskq::task]
async fn purge() {}

fn only<T: taskq::handler::TaskSet>() {}

fn main() {
    only::<(Purge, Mailer)>();
}

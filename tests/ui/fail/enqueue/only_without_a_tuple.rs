#[taskq::task]
async fn purge() {}

fn only<T: taskq::TaskSet>() {}

fn main() {
    only::<Purge>();
}

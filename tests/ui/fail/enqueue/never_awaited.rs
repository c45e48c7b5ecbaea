#![deny(warnings)]

#[taskq::task]
async fn purge() {}

async fn signup(tx: &mut sqlx::PgConnection) {
    Purge::enqueue(tx);
    taskq::enqueue(tx, Purge {}).priority(1);
}

fn main() {
    let _ = signup;
}

use sqlx::{Postgres, Transaction};

#[taskq::task]
async fn send_mail(tx: Transaction<'_, Postgres>) {
    drop(tx);
}

fn main() {}

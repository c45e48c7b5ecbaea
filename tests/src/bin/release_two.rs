//! The second release of a program: neither reads what the other writes, but by its upgrade.

use sqlx::PgConnection;
use taskq::task;
use taskq_tests::release;

#[derive(serde::Deserialize)]
struct DeliverV1 {
    n: i64,
}

fn from_v1(old: DeliverV1) -> Deliver {
    Deliver {
        number: format!("no. {}", old.n),
        enqueued_by: 1,
    }
}

#[task(version = 2, upgrade = from_v1)]
async fn deliver(tx: &mut PgConnection, number: String, enqueued_by: i16) -> anyhow::Result<()> {
    let n: i64 = number.trim_start_matches("no. ").parse()?;
    sqlx::query("insert into delivery (n, enqueued_by, run_by) values ($1, $2, 2)")
        .bind(n)
        .bind(enqueued_by)
        .execute(tx)
        .await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let payload = |n| Deliver {
        number: format!("no. {n}"),
        enqueued_by: 2,
    };
    release::main::<(Deliver,), _>(payload).await
}

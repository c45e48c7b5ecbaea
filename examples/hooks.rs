//! Call code of yours around enqueues and attempts, and follow what a worker does.
//!
//! ```text
//! $ cargo run --example hooks
//! the hook `audit` refuses the task of the type `charge`: nothing to charge
//! event: charge completed
//! event: charge discarded
//! outbox: charge.done {"cents": 100}
//! outbox: charge.failed {"cents": 7}
//! reported: charge 1 of 1: the card is not accepted
//! audited: 2
//! ```

use std::sync::{Arc, Mutex};

use sqlx::PgConnection;
use taskq::error::BoxError;
use taskq::events::Event;
use taskq::hooks::{BoxFuture, EndedAttempt, Enqueuing, Wants, register};
use taskq::testing::Database;
use taskq::{AttemptOutcome, Hook, Worker};

#[taskq::task(max_attempts = 1)]
async fn charge(cents: i64) -> Result<(), String> {
    match cents {
        7 => Err("the card is not accepted".into()),
        _ => Ok(()),
    }
}

/// Tells others what has become of charges, by a table that commits with it; and a service of failures, afterwards.
#[derive(Default)]
struct Around {
    reported: Mutex<Vec<String>>,
}

impl Hook for Around {
    fn wants(&self, _task_type: &str) -> Wants {
        Wants::IN_TX | Wants::AFTER
    }

    fn in_tx<'a>(
        &'a self,
        attempt: &'a EndedAttempt,
        tx: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        Box::pin(async move {
            let how = match &attempt.outcome {
                AttemptOutcome::Completed => "done",
                _ => "failed",
            };
            sqlx::query("insert into outbox (topic, payload) values ($1, $2::jsonb)")
                .bind(format!("{}.{how}", attempt.task_type))
                .bind(attempt.payload())
                .execute(tx)
                .await?;
            Ok(())
        })
    }

    fn after<'a>(&'a self, attempt: &'a EndedAttempt) -> BoxFuture<'a, Result<(), BoxError>> {
        Box::pin(async move {
            if let Some(error) = attempt.error() {
                let (number, most) = (attempt.number, attempt.max_attempts);
                let line = format!("{} {number} of {most}: {error}", attempt.task_type);
                self.reported.lock().expect("reports").push(line);
            }
            Ok(())
        })
    }
}

/// Writes down every enqueue, and refuses what makes no sense.
struct Audit;

impl Hook for Audit {
    fn name(&self) -> &str {
        "audit"
    }

    fn wants(&self, task_type: &str) -> Wants {
        match task_type {
            "charge" => Wants::ENQUEUE,
            _ => Wants::NOTHING,
        }
    }

    fn enqueue_in_tx<'a>(
        &'a self,
        tasks: &'a mut Enqueuing<'_>,
        tx: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        Box::pin(async move {
            if tasks.payloads().any(|it| it.get() == r#"{"cents":0}"#) {
                return Err("nothing to charge".into());
            }
            let insert = "insert into audit (task_type) values ($1) returning audit_id";
            let insert = sqlx::query_scalar::<_, i64>(insert).bind(tasks.task_type());
            let audit_id = insert.fetch_one(tx).await?;
            tasks.set_metadata("audit_id", audit_id);
            Ok(())
        })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let database = Database::fresh().await?;
    let pool = database.pool();
    let tables = "create table outbox (outbox_id bigint generated always as identity, topic text, payload jsonb);
        create table audit (audit_id bigint generated always as identity, task_type text)";
    sqlx::raw_sql(tables).execute(&pool).await?;

    let _ = register(Audit);
    let mut db = pool.acquire().await?;
    if let Err(refused) = Charge::enqueue(&mut db, 0).await {
        println!("{refused}");
    }
    Charge::enqueue(&mut db, 100).await?;
    Charge::enqueue(&mut db, 7).await?;

    let around = Arc::new(Around::default());
    let worker = Worker::builder(pool.clone())
        .queue("default", 1)
        .hook(around.clone())
        .build()
        .await?;
    let mut events = worker.events().subscribe();
    let both = async move {
        let mut ended = 0;
        while ended < 2 {
            if let Some(Ok(Event::AttemptEnded(it))) = events.next().await {
                println!("event: {} {}", it.task_type, it.outcome.name());
                ended += 1;
            }
        }
    };
    worker.run_until(both).await?;

    let rows = "select topic || ' ' || payload from outbox order by outbox_id";
    let rows: Vec<String> = sqlx::query_scalar(rows).fetch_all(&pool).await?;
    rows.iter().for_each(|row| println!("outbox: {row}"));
    for line in around.reported.lock().expect("reports").iter() {
        println!("reported: {line}");
    }
    let audited = "select count(*) from audit";
    let audited: i64 = sqlx::query_scalar(audited).fetch_one(&pool).await?;
    println!("audited: {audited}");
    Ok(())
}

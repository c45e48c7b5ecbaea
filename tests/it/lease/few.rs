//! Outcomes that come one by one, but not seldom, are written together.

use std::time::{Duration, Instant};

use sqlx::PgConnection;
use taskq::task;
use tokio::time::sleep;

use crate::support::{database, execute, one, states, until, while_working, worker};

#[task]
async fn passes() {}

async fn enqueue(db: &mut PgConnection) {
    Passes::enqueue(db).await.expect("enqueued");
}

#[tokio::test]
async fn they_are_written_no_more_often_than_each_five_milliseconds() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "create table written (at timestamptz not null default clock_timestamp());
         create function note_written() returns trigger language plpgsql as
         $$ begin insert into written default values; return null; end $$;
         create trigger note_written after delete on taskq.lease
         for each statement execute function note_written()",
    )
    .await;
    while_working(worker(&pool).only::<(Passes,)>(), async {
        let mut db = pool.acquire().await.expect("a connection");
        sqlx::query("set synchronous_commit = off")
            .execute(&mut *db)
            .await
            .expect("set");
        // Of the first one everything is cold.
        enqueue(&mut db).await;
        until("begun", async || states(&pool).await.is_empty()).await;
        execute(&pool, "delete from written").await;
        let began = Instant::now();
        for _ in 0..200 {
            enqueue(&mut db).await;
            sleep(Duration::from_millis(1)).await;
        }
        until("over", async || states(&pool).await.is_empty()).await;
        let written: i64 = one(&pool, "select count(*) from written").await;
        // However slow the machine is. One by one there would be more.
        let most = began.elapsed().as_millis() / 5 + 2;
        assert!(
            written <= i64::try_from(most).expect("few"),
            "{written} of {most}"
        );
        assert!(written > 0);
    })
    .await;
}

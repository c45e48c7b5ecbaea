//! A transaction of an application that begins in it.

use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use sqlx::{Connection, query};
use tokio::time::sleep;

use crate::support::{database, one, until};

#[tokio::test]
async fn a_transaction_whose_begin_is_abandoned_at_any_moment_is_rolled_back() {
    let (database, watching) = database().await;
    let pool = database.pool_of(3);
    for polls in 0..8 {
        {
            let mut begin = pin!(taskq::begin(&pool));
            for _ in 0..polls {
                let mut context = Context::from_waker(Waker::noop());
                if begin.as_mut().poll(&mut context).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
                sleep(Duration::from_millis(polls)).await;
            }
        }
        until("over", async || {
            let open = "select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in%'";
            one::<i64>(&watching, open).await == 0
        })
        .await;
        let mut connection = pool.acquire().await.expect("a connection");
        assert!(!connection.is_in_transaction());
        query("create table if not exists kept (n int)")
            .execute(&mut *connection)
            .await
            .expect("made");
        drop(connection);
        assert_eq!(one::<i64>(&watching, "select count(*) from kept").await, 0);
    }
    let mut tx = taskq::begin(&pool).await.expect("begun");
    query("insert into kept values (1)")
        .execute(&mut *tx)
        .await
        .expect("written");
    tx.commit().await.expect("committed");
    assert_eq!(one::<i64>(&watching, "select count(*) from kept").await, 1);
}

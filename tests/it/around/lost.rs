//! A hook whose connection is lost, whose statement somebody has deallocated, or whose server writes nothing: the attempt does not
//! count.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use taskq::error::BoxError;
use taskq::hooks::{BoxFuture, EndedAttempt, Wants};
use taskq::{Hook, task};

use crate::support::{database, drain, execute, one, states, worker};

#[task(max_attempts = 1)]
async fn lost_plain() {}

#[task(max_attempts = 1)]
async fn lost_in_tx(tx: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("select 1").execute(tx).await?;
    Ok(())
}

#[derive(Serialize, Deserialize, taskq::Payload)]
#[taskq(max_attempts = 1)]
struct LostMany {}

#[task]
async fn lost_many(
    #[batch(10, "10ms")] all: Vec<LostMany>,
    tx: &mut PgConnection,
) -> sqlx::Result<()> {
    sqlx::query("select $1")
        .bind(i64::try_from(all.len()).unwrap_or(0))
        .execute(tx)
        .await?;
    Ok(())
}

/// Does something to its session the first time, and writes.
struct Disturbed {
    calls: Arc<AtomicUsize>,
    how: &'static str,
}

impl Hook for Disturbed {
    fn wants(&self, _: &str) -> Wants {
        Wants::IN_TX
    }

    fn in_tx<'a>(
        &'a self,
        attempt: &'a EndedAttempt,
        tx: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        Box::pin(async move {
            let insert = "insert into effect values ($1)";
            let insert = || sqlx::query(insert).bind(attempt.task_id);
            insert().execute(&mut *tx).await?;
            if self.calls.fetch_add(1, Ordering::SeqCst) == 0 {
                // It ends the connection, and so fails.
                let _ = sqlx::raw_sql(self.how).execute(&mut *tx).await;
            }
            insert().execute(tx).await?;
            Ok(())
        })
    }
}

#[tokio::test]
async fn a_hook_that_fails_with_its_connection_uses_no_attempt() {
    let all = ["lost_plain", "lost_in_tx", "lost_many"];
    for (how, task_types) in [
        ("select pg_terminate_backend(pg_backend_pid())", &all[..]),
        ("deallocate all", &all),
        // As on a server that is told to write nothing. The transaction of a handler meets that again when it is settled.
        ("set transaction read only", &["lost_plain"]),
    ] {
        for task_type in task_types {
            let (_database, pool) = database().await;
            execute(&pool, "create table effect (n bigint)").await;
            let insert = sqlx::query("insert into taskq.task (task_type) values ($1)");
            let insert = insert.bind(*task_type).execute(&pool).await;
            insert.expect("inserted");
            let calls = Arc::new(AtomicUsize::new(0));
            let hook = Disturbed {
                calls: calls.clone(),
                how,
            };
            let disturbed = worker(&pool)
                .only::<(LostPlain, LostInTx, LostManyHandler)>()
                .hook(hook);
            drain(disturbed, &pool).await;
            let states = states(&pool).await;
            assert!(states.is_empty(), "{task_type}, {how}: {states:?}");
            assert_eq!(calls.load(Ordering::SeqCst), 2, "{task_type}, {how}");
            let written: i64 = one(&pool, "select count(*) from effect").await;
            assert_eq!(written, 2, "{task_type}, {how}: those of the second call");
        }
    }
}

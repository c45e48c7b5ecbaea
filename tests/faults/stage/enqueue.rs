//! Enqueuing on a stage, and recording how each transaction ends.

use std::sync::atomic::Ordering;

use sqlx::{Connection, PgConnection, Postgres, Transaction};
use taskq::Payload;
use taskq::error::BoxError;
use taskq_tests::history::{Batch, Event, Plan};
use taskq_tests::tasks::{Once, Repeatable};

use super::Stage;

/// How a transaction that enqueues ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finale {
    Commit,
    RollBack,
    /// Its connection is closed in the middle.
    Vanish,
}

impl Stage {
    /// Enqueues tasks in a transaction that commits.
    pub(crate) async fn enqueue(&self, plan: Plan, count: i64, takes_ms: u64) {
        let mut db = self.pool.acquire().await.expect("a connection");
        self.enqueue_on(&mut db, plan, count, takes_ms, Finale::Commit)
            .await
            .expect("enqueued");
    }

    /// Enqueues tasks of the other queue in a transaction that commits.
    pub(crate) async fn enqueue_in(&self, queue: &str, plan: Plan, count: i64, takes_ms: u64) {
        // Together with the update, so that no worker sees them before.
        let mut tx = self.pool.begin().await.expect("begun");
        self.enqueue_on(&mut tx, plan, count, takes_ms, Finale::Commit)
            .await
            .expect("enqueued");
        sqlx::query("update taskq.task set queue = $1 where (payload ->> 'n')::bigint >= (select max(first) from batch)")
            .bind(queue)
            .execute(&mut *tx)
            .await
            .expect("moved");
        tx.commit().await.expect("committed");
    }

    /// Enqueues tasks in a transaction on this connection, and records how it ends. What becomes of
    /// a transaction whose commit fails is not known; one that fails before never commits.
    pub(crate) async fn enqueue_on(
        &self,
        db: &mut PgConnection,
        plan: Plan,
        count: i64,
        takes_ms: u64,
        finale: Finale,
    ) -> Result<(), BoxError> {
        let first = self.next.fetch_add(count, Ordering::SeqCst);
        let batch = Batch { first, count, plan };
        self.history.record(Event::Intended(batch));
        let tx = match insert(db, batch, takes_ms).await {
            Ok(tx) => tx,
            Err(error) => {
                self.history.record(Event::RolledBack { first });
                return Err(error);
            }
        };
        match finale {
            Finale::Commit => {
                tx.commit().await?;
                self.history.record(Event::Committed { first });
            }
            Finale::RollBack => {
                tx.rollback().await?;
                self.history.record(Event::RolledBack { first });
            }
            Finale::Vanish => {}
        }
        Ok(())
    }
}

/// Inserts tasks, and what the application writes beside them, which is there if and only if the
/// tasks are.
async fn insert(
    db: &mut PgConnection,
    batch: Batch,
    takes_ms: u64,
) -> Result<Transaction<'_, Postgres>, BoxError> {
    let mut tx = db.begin().await?;
    sqlx::query("insert into batch (first) values ($1)")
        .bind(batch.first)
        .execute(&mut *tx)
        .await?;
    let Plan {
        once,
        failures,
        max_attempts,
    } = batch.plan;
    let transactional = |n| Once {
        n,
        failures,
        takes_ms,
    };
    let repeatable = |n| Repeatable {
        n,
        failures,
        takes_ms,
    };
    match (once, max_attempts == Once::OPTIONS.max_attempts) {
        (true, true) => {
            taskq::enqueue_many(&mut tx, batch.numbers().map(transactional)).await?;
        }
        (false, true) => {
            taskq::enqueue_many(&mut tx, batch.numbers().map(repeatable)).await?;
        }
        (true, false) => {
            for n in batch.numbers() {
                let task = taskq::enqueue(&mut tx, transactional(n));
                task.max_attempts(max_attempts).await?;
            }
        }
        (false, false) => {
            for n in batch.numbers() {
                let task = taskq::enqueue(&mut tx, repeatable(n));
                task.max_attempts(max_attempts).await?;
            }
        }
    }
    Ok(tx)
}

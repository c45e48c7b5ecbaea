//! Enqueuing on a stage, and recording how each transaction ends.

use std::sync::atomic::Ordering;

use sqlx::{Connection, PgConnection};
use taskq::Payload;
use taskq::error::BoxError;
use taskq_tests::history::{Batch, Event, Plan};
use taskq_tests::tasks::{Once, OnceLazily, Repeatable};

use super::Stage;

/// How a transaction that enqueues ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finale {
    Commit,
    RollBack,
    /// Its connection is closed in the middle.
    Vanish,
}

/// What an enqueue says of its tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    Created,
    /// Another has the key.
    Existing,
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
        let insert = async |tx: &mut PgConnection, batch| insert(tx, batch, takes_ms).await;
        self.in_transaction(db, plan, count, finale, insert).await
    }

    /// Enqueues a batch by a function in a transaction on this connection, and records how it ends. What the application
    /// writes beside the tasks is there if and only if they are.
    pub(super) async fn in_transaction(
        &self,
        db: &mut PgConnection,
        plan: Plan,
        count: i64,
        finale: Finale,
        insert: impl AsyncFnOnce(&mut PgConnection, Batch) -> Result<Said, BoxError>,
    ) -> Result<(), BoxError> {
        // A group of none has a number too.
        let first = self.next.fetch_add(count.max(1), Ordering::SeqCst);
        let batch = Batch { first, count, plan };
        self.history.record(Event::Intended(batch));
        let inserted = async {
            let mut tx = db.begin().await?;
            let said = insert(&mut *tx, batch).await?;
            if said == Said::Created {
                let there = sqlx::query("insert into batch (first) values ($1)").bind(first);
                there.execute(&mut *tx).await?;
            }
            Ok((tx, said))
        };
        let (tx, said) = match inserted.await {
            Ok(inserted) => inserted,
            Err(error) => {
                self.history.record(Event::RolledBack { first });
                return Err(error);
            }
        };
        match finale {
            Finale::Commit => {
                let committed = tx.commit().await;
                if said == Said::Existing {
                    // Another task is there in its place.
                    self.history.record(Event::RolledBack { first });
                } else if committed.is_ok() {
                    self.history.record(Event::Committed { first });
                }
                committed?;
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

/// Inserts the tasks of a batch.
async fn insert(tx: &mut PgConnection, batch: Batch, takes_ms: u64) -> Result<Said, BoxError> {
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
    // Half of them begin their transactions by themselves.
    let lazily = |n| OnceLazily {
        n,
        failures,
        takes_ms,
    };
    let (begun, unbegun): (Vec<i64>, Vec<i64>) = batch.numbers().partition(|n| n % 2 == 0);
    let repeatable = |n| Repeatable {
        n,
        failures,
        takes_ms,
    };
    match (once, max_attempts == Once::OPTIONS.max_attempts) {
        (true, true) => {
            taskq::enqueue_many(&mut *tx, begun.into_iter().map(transactional)).await?;
            taskq::enqueue_many(&mut *tx, unbegun.into_iter().map(lazily)).await?;
        }
        (false, true) => {
            taskq::enqueue_many(&mut *tx, batch.numbers().map(repeatable)).await?;
        }
        (true, false) => {
            for n in begun {
                let task = taskq::enqueue(&mut *tx, transactional(n));
                task.max_attempts(max_attempts).await?;
            }
            for n in unbegun {
                let task = taskq::enqueue(&mut *tx, lazily(n));
                task.max_attempts(max_attempts).await?;
            }
        }
        (false, false) => {
            for n in batch.numbers() {
                let task = taskq::enqueue(&mut *tx, repeatable(n));
                task.max_attempts(max_attempts).await?;
            }
        }
    }
    Ok(Said::Created)
}

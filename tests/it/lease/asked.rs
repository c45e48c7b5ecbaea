//! Neither hooks nor the function of `on_discard` are asked about a task that is somebody else's by now.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool};
use taskq::error::BoxError;
use taskq::hooks::{BoxFuture, EndedAttempt, Wants};
use taskq::{Discarded, Hook, WorkerBuilder, task};
use tokio::sync::{Notify, Semaphore};

use super::brief_lease;
use super::fence::gated;
use crate::support::{Log, database, execute, states, until, while_working};

#[derive(Default)]
struct Calls(AtomicUsize);

async fn counts(
    _payload: GiveUp,
    discarded: Discarded<'_>,
    _tx: &mut PgConnection,
) -> Result<(), BoxError> {
    let calls = discarded.state::<Calls>().expect("there");
    calls.0.fetch_add(1, Ordering::SeqCst);
    Ok(())
}

#[task(max_attempts = 1, on_discard = counts)]
async fn give_up(begun: &Notify, end: &Semaphore) -> Result<(), BoxError> {
    begun.notify_one();
    end.acquire().await?.forget();
    Err("no")?
}

struct Asked(Arc<Calls>);

impl Hook for Asked {
    fn name(&self) -> &str {
        "asked"
    }

    fn wants(&self, _task_type: &str) -> Wants {
        Wants::IN_TX
    }

    fn in_tx<'a>(
        &'a self,
        _attempt: &'a EndedAttempt,
        _tx: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        Box::pin(async {
            self.0.0.fetch_add(1, Ordering::SeqCst);
            Ok(())
        })
    }
}

#[task]
async fn complete(begun: &Notify, end: &Semaphore) -> Result<(), BoxError> {
    begun.notify_one();
    end.acquire().await?.forget();
    Ok(())
}

#[derive(Serialize, Deserialize, taskq::Payload)]
#[taskq(max_attempts = 1)]
struct GivenUp {}

#[derive(Serialize, Deserialize, taskq::Payload)]
struct Completed {}

async fn counts_one_of_many(
    _payload: GivenUp,
    discarded: Discarded<'_>,
    _tx: &mut PgConnection,
) -> Result<(), BoxError> {
    let calls = discarded.state::<Calls>().expect("there");
    calls.0.fetch_add(1, Ordering::SeqCst);
    Ok(())
}

#[task(on_discard = counts_one_of_many)]
async fn give_up_many(
    begun: &Notify,
    end: &Semaphore,
    #[batch(10, "1ms")] _all: Vec<GivenUp>,
) -> Result<(), BoxError> {
    begun.notify_one();
    end.acquire().await?.forget();
    Err("no")?
}

#[task]
async fn complete_many(
    begun: &Notify,
    end: &Semaphore,
    #[batch(10, "1ms")] _all: Vec<Completed>,
) -> Result<(), BoxError> {
    begun.notify_one();
    end.acquire().await?.forget();
    Ok(())
}

#[tokio::test]
async fn nobody_is_asked_about_a_task_whose_lease_was_lost_while_it_waited_for_a_connection() {
    let (database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    GiveUp::enqueue(&mut db).await.expect("enqueued");
    Complete::enqueue(&mut db).await.expect("enqueued");
    drop(db);
    let asked = asked_when_lost(&pool, |worker| worker.only::<(GiveUp, Complete)>()).await;
    assert_eq!(asked, [0, 0]);
    drop(database);
}

#[tokio::test]
async fn nor_about_a_task_of_a_batch() {
    let (database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    taskq::enqueue(&mut db, GivenUp {}).await.expect("enqueued");
    taskq::enqueue(&mut db, Completed {})
        .await
        .expect("enqueued");
    drop(db);
    let asked = asked_when_lost(&pool, |worker| {
        worker.only::<(GiveUpManyHandler, CompleteManyHandler)>()
    })
    .await;
    assert_eq!(asked, [0, 0]);
    drop(database);
}

/// Runs two tasks whose leases are lost after their handlers have ended, while they wait for a connection. Returns how often
/// the function of `on_discard` was called, and the hook.
async fn asked_when_lost(
    pool: &PgPool,
    only: impl Fn(WorkerBuilder) -> WorkerBuilder,
) -> [usize; 2] {
    let log = Log::capture();
    let (gate, gated) = gated(pool);
    let (begun, end) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    let (of_type, of_hook) = (Arc::new(Calls::default()), Arc::new(Calls::default()));
    let worker = only(brief_lease(&gated))
        .hook(Asked(of_hook.clone()))
        .state_arc(begun.clone())
        .state_arc(end.clone())
        .state_arc(of_type.clone());
    while_working(worker, async {
        until("both run", async || {
            states(pool).await == [("running".into(), 2)].into()
        })
        .await;
        begun.notified().await;
        let closed = gate.write().await;
        end.add_permits(2);
        until("both have ended", async || end.available_permits() == 0).await;
        execute(pool, "delete from taskq.lease").await;
        until("lost", async || log.has("leases lost")).await;
        drop(closed);
        until("over", async || {
            log.text().matches("this attempt does not count").count() == 2
        })
        .await;
    })
    .await;
    [of_type, of_hook].map(|calls| calls.0.load(Ordering::SeqCst))
}

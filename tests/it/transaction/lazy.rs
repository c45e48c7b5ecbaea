//! Handlers with `&mut LazyTx`: no connection until they begin, and no transaction for those that do not.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use sqlx::{PgConnection, PgPool, query_scalar};
use taskq::error::BeginError;
use taskq::testing::lazy_tx;
use taskq::{Attempt, LazyTx, Worker, task};
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;

use super::write;
use crate::support::{
    count_effects, database, drain, effects, execute, one, states, task as find, until,
    while_working, worker,
};

/// Sessions of the test's database in a transaction, but for the one that asks.
const IN_TRANSACTION: &str = "select count(*) from pg_stat_activity where datname = current_database() and xact_start is not null and pid <> pg_backend_pid()";

/// The errors that handlers met when they began.
#[derive(Default)]
struct Errors(Mutex<Vec<BeginError>>);

impl Errors {
    fn record(&self, error: BeginError) -> String {
        let text = error.to_string();
        self.0.lock().expect("no panic").push(error);
        text
    }

    fn take(&self) -> Vec<BeginError> {
        std::mem::take(&mut self.0.lock().expect("no panic"))
    }
}

#[tokio::test]
async fn two_hundred_handlers_wait_side_by_side_and_then_write_on_twenty_connections() {
    #[task(max_attempts = 1)]
    async fn slow(
        tx: &mut LazyTx,
        waiting: &AtomicUsize,
        bank: &Semaphore,
        n: i64,
    ) -> anyhow::Result<()> {
        waiting.fetch_add(1, Ordering::SeqCst);
        bank.acquire().await?.forget();
        write(tx.begin().await?, n).await?;
        Ok(())
    }

    let (database, pool) = database().await;
    effects(&pool).await;
    let mut db = pool.acquire().await.expect("a connection");
    taskq::enqueue_many(&mut db, (0..200).map(|n| Slow { n }))
        .await
        .expect("enqueued");
    let twenty = database.pool_of(20);
    let (waiting, bank) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let worker = Worker::builder(twenty.clone())
        .queue("default", 200)
        .only::<(Slow,)>()
        .state_arc(waiting.clone())
        .state_arc(bank.clone());
    while_working(worker, async {
        until("all wait", async || waiting.load(Ordering::SeqCst) == 200).await;
        // Those of the worker itself: see `places.rs`.
        until("only the worker's own are used", async || {
            in_use(&twenty) <= 6 && one::<i64>(&pool, IN_TRANSACTION).await == 0
        })
        .await;
        bank.add_permits(200);
        until("done", async || states(&pool).await.is_empty()).await;
        assert!(twenty.size() <= 20);
    })
    .await;
    assert_eq!(count_effects(&pool).await, (200, 200));
}

fn in_use(pool: &PgPool) -> usize {
    usize::try_from(pool.size()).expect("a few") - pool.num_idle()
}

#[tokio::test]
async fn tasks_whose_handlers_do_not_begin_complete_together() {
    #[task]
    async fn aside(_tx: &mut LazyTx, waiting: &AtomicUsize, release: &Semaphore) {
        waiting.fetch_add(1, Ordering::SeqCst);
        release.acquire().await.expect("open").forget();
    }

    let (database, pool) = database().await;
    execute(
        &pool,
        "create sequence deletion;
         create function count_deletion() returns trigger language plpgsql as $$
         begin
             perform nextval('deletion');
             return null;
         end $$;
         create trigger count_deletion after delete on taskq.lease for each statement execute function count_deletion()",
    )
    .await;
    let mut db = pool.acquire().await.expect("a connection");
    taskq::enqueue_many(&mut db, (0..100).map(|_| Aside {}))
        .await
        .expect("enqueued");
    let (waiting, release) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    // One for handlers, which nobody takes.
    let worker = Worker::builder(database.pool_of(7))
        .queue("default", 100)
        .only::<(Aside,)>()
        .state_arc(waiting.clone())
        .state_arc(release.clone());
    while_working(worker, async {
        until("all wait", async || waiting.load(Ordering::SeqCst) == 100).await;
        release.add_permits(100);
        until("done", async || states(&pool).await.is_empty()).await;
    })
    .await;
    let deletions: i64 = one(&pool, "select last_value from deletion").await;
    assert!(deletions <= 20, "{deletions} statements for 100 tasks");
}

#[tokio::test]
async fn a_failure_before_the_transaction_begins_is_charged_and_kept() {
    #[task(max_attempts = 1)]
    async fn declined(_tx: &mut LazyTx) -> Result<(), &'static str> {
        Err("the card was declined")
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let task_id = Declined::enqueue(&mut db).await.expect("enqueued").task_id;
    drain(worker(&pool).only::<(Declined,)>(), &pool).await;
    let row = find(&pool, task_id).await.expect("dead");
    assert_eq!((row.state.as_str(), row.attempts), ("discarded", 1));
    assert_eq!(row.error(), "the card was declined");
}

#[tokio::test]
async fn a_second_begin_gives_the_same_transaction() {
    #[task(max_attempts = 1)]
    async fn twice(tx: &mut LazyTx) -> anyhow::Result<()> {
        let id = async |db: &mut PgConnection| {
            query_scalar::<_, String>("select pg_current_xact_id()::text")
                .fetch_one(db)
                .await
        };
        let first = id(tx.begin().await?).await?;
        let second = id(tx.begin().await?).await?;
        anyhow::ensure!(first == second, "{first}, {second}");
        write(tx.begin().await?, 1).await?;
        Ok(())
    }

    let (_database, pool) = database().await;
    effects(&pool).await;
    let mut db = pool.acquire().await.expect("a connection");
    Twice::enqueue(&mut db).await.expect("enqueued");
    drain(worker(&pool).only::<(Twice,)>(), &pool).await;
    assert!(states(&pool).await.is_empty(), "{:?}", states(&pool).await);
    assert_eq!(count_effects(&pool).await, (1, 1));
}

#[tokio::test]
async fn a_begin_that_was_given_up_leaves_nothing_and_may_be_repeated() {
    #[task(max_attempts = 1)]
    async fn impatient(tx: &mut LazyTx, n: u64) -> anyhow::Result<()> {
        // At various moments of its way.
        let brief = Duration::from_micros(n * 100);
        let _ = timeout(brief, tx.begin()).await;
        write(tx.begin().await?, i64::try_from(n)?).await?;
        Ok(())
    }

    let (database, pool) = database().await;
    effects(&pool).await;
    let mut db = pool.acquire().await.expect("a connection");
    taskq::enqueue_many(&mut db, (0..50).map(|n| Impatient { n }))
        .await
        .expect("enqueued");
    let few = database.pool_of(8);
    let worker = Worker::builder(few.clone()).queue("default", 4);
    while_working(worker.only::<(Impatient,)>(), async {
        until("done", async || states(&pool).await.is_empty()).await;
        until("over", async || {
            in_use(&few) <= 6 && one::<i64>(&pool, IN_TRANSACTION).await == 0
        })
        .await;
    })
    .await;
    assert_eq!(count_effects(&pool).await, (50, 50));
}

#[tokio::test]
async fn a_transaction_does_not_begin_once_the_lease_is_lost() {
    #[task]
    async fn late(tx: &mut LazyTx, errors: &Errors, release: &Notify) -> Result<(), String> {
        release.notified().await;
        match tx.begin().await {
            Ok(_) => Ok(()),
            Err(error) => Err(errors.record(error)),
        }
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    Late::enqueue(&mut db).await.expect("enqueued");
    let (errors, release) = (Arc::new(Errors::default()), Arc::new(Notify::new()));
    // Long enough for the worker not to know.
    let worker = worker(&pool)
        .lease(Duration::from_secs(600))
        .only::<(Late,)>()
        .state_arc(errors.clone())
        .state_arc(release.clone());
    while_working(worker, async {
        until("running", async || {
            states(&pool).await.contains_key("running")
        })
        .await;
        execute(&pool, "delete from taskq.lease").await;
        release.notify_one();
        let mut met = Vec::new();
        until("refused", async || {
            met.extend(errors.take());
            !met.is_empty()
        })
        .await;
        assert!(matches!(met[..], [BeginError::LeaseLost]), "{met:?}");
        assert!(met[0].to_string().contains("is lost"), "{}", met[0]);
    })
    .await;
    assert!(states(&pool).await.is_empty());
}

#[tokio::test]
async fn a_transaction_does_not_begin_once_the_task_is_cancelled() {
    #[task]
    async fn late(
        tx: &mut LazyTx,
        attempt: &Attempt,
        errors: &Errors,
        started: &Notify,
    ) -> Result<(), String> {
        started.notify_one();
        attempt.cancelled().await;
        match tx.begin().await {
            Ok(_) => Ok(()),
            Err(error) => Err(errors.record(error)),
        }
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let task_id = Late::enqueue(&mut db).await.expect("enqueued").task_id;
    let (errors, started) = (Arc::new(Errors::default()), Arc::new(Notify::new()));
    let worker = worker(&pool)
        .only::<(Late,)>()
        .state_arc(errors.clone())
        .state_arc(started.clone());
    while_working(worker, async {
        started.notified().await;
        let cancelled = taskq::operate(&pool).cancel(task_id).await;
        cancelled.expect("cancelled");
        let mut met = Vec::new();
        until("refused", async || {
            met.extend(errors.take());
            !met.is_empty()
        })
        .await;
        assert!(matches!(met[..], [BeginError::Cancelled]), "{met:?}");
    })
    .await;
    let row = find(&pool, task_id).await.expect("kept");
    assert_eq!((row.state.as_str(), row.attempts), ("cancelled", 0));
}

#[tokio::test]
async fn a_handler_that_gets_no_connection_is_told_why_and_not_charged() {
    #[task(max_attempts = 1)]
    async fn greedy(
        tx: &mut LazyTx,
        errors: &Errors,
        release: &Semaphore,
        n: i64,
    ) -> anyhow::Result<()> {
        let tx = match tx.begin().await {
            Ok(tx) => tx,
            Err(error) => anyhow::bail!(errors.record(error)),
        };
        write(tx, n).await?;
        release.acquire().await?.forget();
        Ok(())
    }

    let (database, pool) = database().await;
    effects(&pool).await;
    let mut db = pool.acquire().await.expect("a connection");
    taskq::enqueue_many(&mut db, (0..2).map(|n| Greedy { n }))
        .await
        .expect("enqueued");
    let (errors, release) = (Arc::new(Errors::default()), Arc::new(Semaphore::new(0)));
    // Six are the worker's own.
    let seven = PgPoolOptions::new()
        .max_connections(7)
        .acquire_timeout(Duration::from_secs(1))
        .connect_lazy_with(database.connect_options());
    let worker = Worker::builder(seven)
        .queue("default", 10)
        .only::<(Greedy,)>()
        .state_arc(errors.clone())
        .state_arc(release.clone());
    while_working(worker, async {
        let mut met = Vec::new();
        until("refused", async || {
            met.extend(errors.take());
            !met.is_empty()
        })
        .await;
        let waited = Duration::from_secs(1);
        assert!(
            matches!(met[0], BeginError::NoConnection { waited: it } if it == waited),
            "{met:?}"
        );
        let text = met[0].to_string();
        assert!(text.contains("max_connections"), "{text}");
        release.add_permits(2);
        until("done", async || states(&pool).await.is_empty()).await;
    })
    .await;
    assert_eq!(count_effects(&pool).await, (2, 2));
}

#[tokio::test]
async fn a_handler_that_waits_to_begin_is_not_charged_where_its_worker_gives_the_lease_up() {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    #[task(max_attempts = 1)]
    async fn waits(tx: &mut LazyTx) -> anyhow::Result<()> {
        if RUNS.fetch_add(1, Ordering::SeqCst) < 2 {
            tx.begin().await?;
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    let (database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    taskq::enqueue_many(&mut db, (0..2).map(|_| Waits {}))
        .await
        .expect("enqueued");
    // One for handlers: the second waits for it.
    let worker = Worker::builder(database.pool_of(7))
        .queue("default", 10)
        .lease(Duration::from_secs(2))
        .only::<(Waits,)>();
    while_working(worker, async {
        until("both run", async || RUNS.load(Ordering::SeqCst) == 2).await;
        // No heartbeat comes through, and the leases stay where they are.
        let mut hold = pool.begin().await.expect("begun");
        let lock = sqlx::query("lock table taskq.lease in exclusive mode");
        lock.execute(&mut *hold).await.expect("locked");
        tokio::time::sleep(Duration::from_secs(3)).await;
        hold.rollback().await.expect("over");
        until("done", async || {
            let charged = "select coalesce(sum(attempts), 0)::bigint from taskq.tasks";
            assert_eq!(one::<i64>(&pool, charged).await, 0);
            states(&pool).await.is_empty()
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_slot_keeps_no_connection_for_a_handler_that_has_not_begun() {
    #[task]
    async fn before(_tx: &mut PgConnection) {}
    #[task]
    async fn waits(_tx: &mut LazyTx, started: &AtomicUsize, release: &Notify) {
        started.fetch_add(1, Ordering::SeqCst);
        release.notified().await;
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    for _ in 0..3 {
        Before::enqueue(&mut db).await.expect("enqueued");
    }
    taskq::enqueue(&mut db, Waits {})
        .priority(1)
        .await
        .expect("enqueued");
    let (started, release) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let worker = Worker::builder(pool.clone())
        .queue("default", 1)
        .only::<(Before, Waits)>()
        .state_arc(started.clone())
        .state_arc(release.clone());
    while_working(worker, async {
        until("started", async || started.load(Ordering::SeqCst) == 1).await;
        until("none is in a transaction", async || {
            one::<i64>(&pool, IN_TRANSACTION).await == 0
        })
        .await;
        release.notify_one();
    })
    .await;
    assert!(states(&pool).await.is_empty());
}

#[tokio::test]
async fn a_test_calls_a_handler_with_a_transaction_of_its_own() {
    #[task]
    async fn effective(tx: &mut LazyTx, n: i64) -> sqlx::Result<()> {
        write(tx.begin().await?, n).await
    }

    let (_database, pool) = database().await;
    effects(&pool).await;
    let mut tx = lazy_tx(&pool);
    effective(&mut tx, 7).await.expect("written");
    let written: i64 = query_scalar("select n from effect")
        .fetch_one(tx.begin().await.expect("begun"))
        .await
        .expect("there");
    assert_eq!(written, 7);
    drop(tx);
    assert_eq!(count_effects(&pool).await, (0, 0), "rolled back");
}

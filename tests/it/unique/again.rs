//! Of each key one task runs and at most one waits, the newest.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::{Connection, PgPool};
use taskq::unique::{OnConflict, Unique, Until};
use taskq::{EnqueueError, EnqueueOutcome, task};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::KEYS;
use crate::support::{
    database, drain, execute, leave_behind, one, task, until, while_working, worker,
};

/// What ran, in which order, and how many of a document at once.
struct Runs {
    started: Mutex<Vec<(i64, String)>>,
    running: Mutex<HashMap<i64, usize>>,
    most: AtomicUsize,
    opens: Semaphore,
}

impl Runs {
    /// Handlers wait until this is opened.
    fn closed() -> Arc<Self> {
        Arc::new(Self {
            started: Mutex::default(),
            running: Mutex::default(),
            most: AtomicUsize::new(0),
            opens: Semaphore::new(0),
        })
    }

    fn open() -> Arc<Self> {
        let runs = Self::closed();
        runs.opens.add_permits(1_000_000);
        runs
    }

    async fn run(&self, document_id: i64, text: &str) -> Result<(), &'static str> {
        let begun = {
            let mut running = self.running.lock().expect("counted");
            let begun = running.entry(document_id).or_default();
            *begun += 1;
            *begun
        };
        self.most.fetch_max(begun, Ordering::SeqCst);
        let start = (document_id, text.to_owned());
        self.started.lock().expect("recorded").push(start);
        self.opens.acquire().await.expect("open").forget();
        *self
            .running
            .lock()
            .expect("counted")
            .get_mut(&document_id)
            .expect("it runs") -= 1;
        match text.starts_with("fails") {
            true => Err("not today"),
            false => Ok(()),
        }
    }

    fn texts(&self) -> Vec<String> {
        let started = self.started.lock().expect("recorded");
        started.iter().map(|(_, text)| text.clone()).collect()
    }

    async fn has_started(&self, text: &str) {
        until(text, async || self.texts().iter().any(|it| it == text)).await;
    }
}

#[task(unique(fields(document_id), until = "again"))]
async fn reindex(runs: &Runs, document_id: i64, text: String) -> Result<(), &'static str> {
    runs.run(document_id, &text).await
}

/// The same, and its attribute says nothing.
#[task]
async fn redraw(runs: &Runs, document_id: i64, text: String) -> Result<(), &'static str> {
    runs.run(document_id, &text).await
}

#[task(concurrency(1, key = tenant_id), unique(fields(document_id), until = "again"))]
async fn resend(
    runs: &Runs,
    tenant_id: i64,
    document_id: i64,
    text: String,
) -> Result<(), &'static str> {
    let _ = document_id;
    runs.run(tenant_id, &text).await
}

const WAITING: &str = "select count(*) from taskq.task where task_type in ('reindex', 'redraw')";

async fn reindexed(pool: &PgPool, document_id: i64, text: &str) -> (i64, EnqueueOutcome) {
    let mut db = pool.acquire().await.expect("a connection");
    let enqueued = Reindex::enqueue(&mut db, document_id, text.to_owned()).await;
    let enqueued = enqueued.expect("enqueued");
    (enqueued.task_id, enqueued.outcome)
}

/// Two workers beside a test: what one may not start the other may not start either.
async fn while_two_work<T>(pool: &PgPool, runs: &Arc<Runs>, test: impl Future<Output = T>) -> T {
    let one = worker(pool)
        .only::<(Reindex, Redraw)>()
        .state_arc(runs.clone());
    let other = worker(pool)
        .only::<(Reindex, Redraw)>()
        .state_arc(runs.clone());
    while_working(one, while_working(other, test)).await
}

#[tokio::test]
async fn a_thousand_enqueues_during_a_run_give_one_more_with_the_last_payload() {
    use EnqueueOutcome::{Created, Replaced};
    let (_database, pool) = database().await;
    let runs = Runs::closed();
    let (first, _) = reindexed(&pool, 1, "first").await;
    while_two_work(&pool, &runs, async {
        runs.has_started("first").await;
        let (second, outcome) = reindexed(&pool, 1, "0").await;
        assert_eq!((outcome, second > first), (Created, true));
        let mut db = pool.acquire().await.expect("a connection");
        for ten in 0..100 {
            let mut tx = db.begin().await.expect("a transaction");
            for n in 10 * ten..10 * (ten + 1) {
                let again = Reindex::enqueue(&mut tx, 1, n.to_string()).await;
                let again = again.expect("enqueued");
                assert_eq!((again.task_id, again.outcome), (second, Replaced));
            }
            tx.commit().await.expect("committed");
        }
        assert_eq!(one::<i64>(&pool, WAITING).await, 1);
        // Another document is not in the way, and neither is this one to it.
        reindexed(&pool, 2, "other").await;
        runs.has_started("other").await;
        // Both workers have looked at it, and again.
        sleep(Duration::from_millis(300)).await;
        assert_eq!(runs.texts(), ["first", "other"], "it waits for the first");
        runs.opens.add_permits(2);
        runs.has_started("999").await;
        runs.opens.add_permits(1);
        until("all have ended", async || {
            one::<i64>(&pool, "select count(*) from taskq.tasks").await == 0
        })
        .await;
    })
    .await;
    assert_eq!(runs.texts(), ["first", "other", "999"]);
}

#[tokio::test]
async fn a_task_that_failed_gives_way_to_one_that_waits() {
    let (_database, pool) = database().await;
    let runs = Runs::closed();
    let (first, _) = reindexed(&pool, 1, "fails").await;
    while_two_work(&pool, &runs, async {
        runs.has_started("fails").await;
        reindexed(&pool, 1, "newer").await;
        runs.opens.add_permits(1);
        runs.has_started("newer").await;
        assert!(task(&pool, first).await.is_none(), "it is not retried");
        runs.opens.add_permits(1);
        until("all have ended", async || {
            one::<i64>(&pool, "select count(*) from taskq.tasks").await == 0
        })
        .await;
    })
    .await;
    assert_eq!(runs.texts(), ["fails", "newer"]);
}

#[tokio::test]
async fn a_task_that_is_to_be_retried_takes_the_newest_payload() {
    let (_database, pool) = database().await;
    let runs = Runs::open();
    let (first, _) = reindexed(&pool, 1, "fails").await;
    while_two_work(&pool, &runs, async {
        until("it failed", async || {
            one::<i64>(&pool, "select count(*) from taskq.task where attempts = 1").await == 1
        })
        .await;
        assert_eq!(
            reindexed(&pool, 1, "newer").await,
            (first, EnqueueOutcome::Replaced)
        );
        runs.has_started("newer").await;
    })
    .await;
    assert_eq!(runs.texts(), ["fails", "newer"]);
}

#[tokio::test]
async fn an_older_task_neither_comes_back_nor_starts_after_the_newer_one_has_ended() {
    let (_database, pool) = database().await;
    let runs = Runs::closed();
    let (first, _) = reindexed(&pool, 1, "fails").await;
    while_two_work(&pool, &runs, async {
        runs.has_started("fails").await;
        let mut db = pool.acquire().await.expect("a connection");
        let later =
            Reindex::enqueue(&mut db, 1, "later".to_owned()).delay(Duration::from_secs(3_600));
        later.await.expect("enqueued");
        runs.opens.add_permits(1);
        until("it failed", async || {
            one::<i64>(&pool, "select count(*) from taskq.task where attempts = 1").await == 1
        })
        .await;
        execute(
            &pool,
            "update taskq.task set run_at = now() where attempts = 1",
        )
        .await;
        until("it gave way", async || task(&pool, first).await.is_none()).await;
        assert_eq!(
            one::<i64>(&pool, WAITING).await,
            1,
            "the later one waits for its time"
        );
    })
    .await;
    assert_eq!(runs.texts(), ["fails"]);
}

#[tokio::test]
async fn a_task_whose_worker_vanished_runs_no_longer_when_the_next_starts() {
    let (_database, pool) = database().await;
    let (first, _) = reindexed(&pool, 1, "vanished").await;
    leave_behind(&pool).await;
    execute(
        &pool,
        "update taskq.lease set expires_at = now() + interval '1 hour'",
    )
    .await;
    let (second, outcome) = reindexed(&pool, 1, "newer").await;
    assert_eq!((outcome, second > first), (EnqueueOutcome::Created, true));
    let runs = Runs::open();
    let worker = worker(&pool).only::<(Reindex,)>().state_arc(runs.clone());
    while_working(worker.lease(Duration::from_secs(2)), async {
        reindexed(&pool, 2, "other").await;
        runs.has_started("other").await;
        sleep(Duration::from_millis(300)).await;
        assert_eq!(runs.texts(), ["other"], "its lease has not expired");
        execute(
            &pool,
            "update taskq.lease set expires_at = now() - interval '1 second'",
        )
        .await;
        runs.has_started("newer").await;
        until("all have ended", async || {
            one::<i64>(&pool, "select count(*) from taskq.tasks").await == 0
        })
        .await;
    })
    .await;
    assert_eq!(runs.texts(), ["other", "newer"]);
}

#[tokio::test]
async fn one_that_waited_and_was_deleted_does_not_let_the_next_start_beside_the_first() {
    let (_database, pool) = database().await;
    let runs = Runs::closed();
    reindexed(&pool, 1, "first").await;
    while_two_work(&pool, &runs, async {
        runs.has_started("first").await;
        reindexed(&pool, 1, "deleted").await;
        execute(&pool, "delete from taskq.task").await;
        // It looks for keys of ended tasks, and this one is of a task that was deleted.
        assert_eq!(one::<i64>(&pool, "select taskq.prune_keys(100)").await, 0);
        reindexed(&pool, 1, "third").await;
        sleep(Duration::from_millis(300)).await;
        assert_eq!(runs.texts(), ["first"]);
        runs.opens.add_permits(2);
        runs.has_started("third").await;
    })
    .await;
    assert_eq!(runs.most.load(Ordering::SeqCst), 1);
    until("the key is deleted", async || {
        one::<i64>(&pool, "select taskq.prune_keys(100)").await;
        one::<i64>(&pool, KEYS).await == 0
    })
    .await;
}

#[tokio::test]
async fn a_task_whose_key_was_forgotten_runs_and_waits_for_nobody() {
    let (_database, pool) = database().await;
    let runs = Runs::closed();
    reindexed(&pool, 1, "revived").await;
    execute(&pool, "delete from taskq.unique_key").await;
    let mut tx = pool.begin().await.expect("a transaction");
    sqlx::raw_sql("insert into taskq.unique_key (task_type, key, task_id, until) values ('reindex', '{\"document_id\": 1}', 0, 'again')")
        .execute(&mut *tx)
        .await
        .expect("inserted");
    while_two_work(&pool, &runs, async {
        reindexed(&pool, 2, "other").await;
        runs.has_started("other").await;
        assert_eq!(
            runs.texts(),
            ["other"],
            "somebody enqueues the key just now"
        );
        tx.rollback().await.expect("rolled back");
        runs.has_started("revived").await;
        // While both run nobody may delete a key of theirs.
        one::<i64>(&pool, "select taskq.prune_keys(100)").await;
        assert_eq!(one::<i64>(&pool, KEYS).await, 2);
        runs.opens.add_permits(2);
    })
    .await;
}

#[tokio::test]
async fn an_enqueue_says_it_of_a_type_that_says_nothing_in_rust_and_in_sql() {
    use EnqueueOutcome::Created;
    let (_database, pool) = database().await;
    let runs = Runs::closed();
    let again = Unique::new().until(Until::Again);
    let mut db = pool.acquire().await.expect("a connection");
    let mut redrawn = async |text: &str| {
        let enqueue = Redraw::enqueue(&mut db, 1, text.to_owned()).unique(again);
        let enqueue = enqueue.unique_key("k").metadata("from", "rust");
        enqueue.await.expect("enqueued").outcome
    };
    assert_eq!(redrawn("first").await, Created);
    // A second worker might take the second task for one without a turn just when the third comes.
    let worker = worker(&pool).only::<(Redraw,)>().state_arc(runs.clone());
    while_working(worker, async {
        runs.has_started("first").await;
        assert_eq!(redrawn("second").await, Created);
        let from_sql = "select outcome from taskq.enqueue('redraw', '{\"document_id\": 1, \"text\": \"third\"}', '{\"unique_key\": \"k\", \"until\": \"again\", \"metadata\": {\"from\": \"sql\"}}')";
        assert_eq!(one::<String>(&pool, from_sql).await, "replaced");
        let metadata = "select (metadata -> 'from')::text || (metadata -> 'task.again')::text from taskq.task";
        assert_eq!(one::<String>(&pool, metadata).await, "\"sql\"\"k\"");
        // One that says less is told of the task that has the key.
        let less = "select outcome from taskq.enqueue('redraw', '{\"document_id\": 1, \"text\": \"less\"}', '{\"unique_key\": \"k\"}')";
        assert_eq!(one::<String>(&pool, less).await, "existing");
        sleep(Duration::from_millis(300)).await;
        assert_eq!(runs.texts(), ["first"]);
        runs.opens.add_permits(2);
        runs.has_started("third").await;
        assert_eq!(redrawn("fourth").await, Created);
    })
    .await;
    assert_eq!(runs.most.load(Ordering::SeqCst), 1);
    assert_eq!(
        one::<i32>(&pool, "select max(oldest_binary) from taskq.migration").await,
        11,
        "an older worker would start two"
    );
}

#[tokio::test]
async fn the_newest_payload_holds_and_nothing_else_can_be_said() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    for on_conflict in [OnConflict::Keep, OnConflict::Error] {
        let unique = Unique::new().until(Until::Again).on_conflict(on_conflict);
        let refused = Redraw::enqueue(&mut db, 1, String::new())
            .unique(unique)
            .await;
        let Err(EnqueueError::Option { problem, .. }) = refused else {
            panic!("{refused:?}");
        };
        assert!(problem.contains("leave `on_conflict` out"), "{problem}");
    }
    let debounced = Reindex::enqueue(&mut db, 1, "a".to_owned()).debounce(Duration::from_secs(60));
    debounced.await.expect("enqueued");
    let debounced = Reindex::enqueue(&mut db, 1, "b".to_owned()).debounce(Duration::from_secs(60));
    assert_eq!(
        debounced.await.expect("enqueued").outcome,
        EnqueueOutcome::Replaced
    );
    let until: String = one(&pool, "select until from taskq.unique_key").await;
    assert_eq!(until, "again");
}

#[tokio::test]
async fn one_by_one_goes_with_a_limit_by_another_key() {
    let (_database, pool) = database().await;
    let runs = Runs::closed();
    let mut db = pool.acquire().await.expect("a connection");
    let mut resent = async |tenant_id, document_id, text: &str| {
        let enqueue = Resend::enqueue(&mut db, tenant_id, document_id, text.to_owned());
        enqueue.await.expect("enqueued");
    };
    resent(1, 1, "1 of 1").await;
    let worker = worker(&pool).only::<(Resend,)>().state_arc(runs.clone());
    while_working(worker, async {
        runs.has_started("1 of 1").await;
        resent(2, 1, "1 of 2").await;
        resent(2, 2, "2 of 2").await;
        resent(1, 3, "3 of 1").await;
        runs.has_started("2 of 2").await;
        sleep(Duration::from_millis(200)).await;
        assert_eq!(runs.texts(), ["1 of 1", "2 of 2"]);
        runs.opens.add_permits(10);
        until("all have ended", async || {
            one::<i64>(&pool, "select count(*) from taskq.tasks").await == 0
        })
        .await;
    })
    .await;
    assert_eq!(
        (runs.texts().len(), runs.most.load(Ordering::SeqCst)),
        (4, 1)
    );
}

#[tokio::test]
async fn sixty_four_who_enqueue_while_runs_fail_lose_nothing_and_never_have_two_run_at_once() {
    const KEYS: i64 = 5;
    let (_database, pool) = database().await;
    let runs = Runs::open();
    while_two_work(&pool, &runs, async {
        let mut clients = JoinSet::new();
        for client in 0..64 {
            let pool = pool.clone();
            clients.spawn(async move {
                for round in 0..20 {
                    let fails = ["fails", "works"][usize::from(fastrand::bool())];
                    let text = format!("{fails} {client} {round}");
                    let document_id = (client + round) % KEYS;
                    if client % 2 == 0 {
                        reindexed(&pool, document_id, &text).await;
                        continue;
                    }
                    let documents = [document_id, KEYS - 1 - document_id];
                    let reindex = documents.map(|document_id| {
                        let text = text.clone();
                        Reindex { document_id, text }
                    });
                    let mut db = pool.acquire().await.expect("a connection");
                    let enqueued = taskq::enqueue_many(&mut db, reindex).await;
                    enqueued.expect("enqueued");
                }
            });
        }
        while let Some(client) = clients.join_next().await {
            client.expect("a client");
        }
        for document_id in 0..KEYS {
            reindexed(&pool, document_id, &format!("last {document_id}")).await;
        }
        until("all have ended", async || {
            one::<i64>(&pool, "select count(*) from taskq.tasks").await == 0
        })
        .await;
    })
    .await;
    assert_eq!(runs.most.load(Ordering::SeqCst), 1);
    let started = runs.started.lock().expect("recorded");
    for document_id in 0..KEYS {
        let mut of_key = started.iter().filter(|(id, _)| *id == document_id);
        assert_eq!(
            of_key.next_back().map(|(_, text)| text.as_str()),
            Some(&*format!("last {document_id}")),
            "nothing older starts after the newest"
        );
    }
}

#[tokio::test]
async fn a_drain_runs_what_waits_for_its_turn() {
    let (_database, pool) = database().await;
    let runs = Runs::open();
    for text in ["a", "b"] {
        reindexed(&pool, 1, text).await;
        let mut db = pool.acquire().await.expect("a connection");
        let again = Unique::new().until(Until::Again);
        let enqueue = Redraw::enqueue(&mut db, 2, text.to_owned()).unique(again);
        enqueue.unique_key("k").await.expect("enqueued");
    }
    drain(
        worker(&pool)
            .only::<(Reindex, Redraw)>()
            .state_arc(runs.clone()),
        &pool,
    )
    .await;
    assert_eq!(runs.texts(), ["b", "b"]);
}

//! Batches in a transaction: one commit for what the handler wrote and for the ends of all tasks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool};
use taskq::{Batch, LazyTx, task};
use tokio::sync::{Barrier, Notify, oneshot};

use super::{Sizes, enqueue, errors};
use crate::lease::brief_lease;
use crate::lease::fence::gated;
use crate::support::{
    Log, count_effects, database, drain, effects, execute, one, states, until, while_working,
    worker,
};

async fn write_all(tx: &mut PgConnection, numbers: Vec<i64>) -> sqlx::Result<()> {
    let insert = sqlx::query("insert into effect select * from unnest($1::bigint[])");
    insert.bind(numbers).execute(tx).await.map(|_| ())
}

#[derive(Serialize, Deserialize, taskq::Payload)]
#[taskq(max_attempts = 1)]
struct Each {
    n: i64,
}

#[task]
async fn each(
    #[batch(10, "50ms")] all: Vec<Each>,
    tx: &mut PgConnection,
) -> Vec<Result<(), String>> {
    let numbers = all.iter().map(|it| it.n).collect();
    let written = write_all(tx, numbers).await.map_err(|it| it.to_string());
    let outcome = |it: &Each| match it.n {
        3 => Err("not this one".to_owned()),
        _ => written.clone(),
    };
    all.iter().map(outcome).collect()
}

#[tokio::test]
async fn one_outcome_for_each_commits_what_the_handler_wrote() {
    let (_database, pool) = database().await;
    effects(&pool).await;
    enqueue(&pool, (0..10).map(|n| Each { n })).await;
    drain(worker(&pool).only::<(EachHandler,)>(), &pool).await;
    assert_eq!(count_effects(&pool).await, (10, 10));
    let left = [("3".to_owned(), "not this one".to_owned())];
    assert_eq!(errors(&pool).await, left);
}

#[tokio::test]
async fn a_commit_that_postgres_refuses_fails_for_all_and_undoes_everything() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "create table effect (n bigint not null unique deferrable initially deferred);
         insert into effect values (7)",
    )
    .await;
    enqueue(&pool, (5..9).map(|n| Each { n })).await;
    drain(worker(&pool).only::<(EachHandler,)>(), &pool).await;
    assert_eq!(count_effects(&pool).await, (1, 1));
    let errors = errors(&pool).await;
    assert_eq!(errors.len(), 4);
    assert!(
        errors.iter().all(|(_, it)| it.contains("effect_n_key")),
        "{errors:?}"
    );
}

#[derive(Serialize, Deserialize, taskq::Payload)]
struct Shared {
    n: i64,
}

#[task]
async fn shared(
    #[batch(100, "5ms")] all: Vec<Shared>,
    tx: &mut taskq::Tx,
    calls: &AtomicUsize,
) -> sqlx::Result<()> {
    calls.fetch_add(1, Ordering::SeqCst);
    write_all(tx, all.iter().map(|it| it.n).collect()).await
}

#[tokio::test]
async fn two_workers_write_each_payload_once() {
    let (_database, pool) = database().await;
    effects(&pool).await;
    enqueue(&pool, (0..5_000).map(|n| Shared { n })).await;
    let calls = Arc::new(AtomicUsize::new(0));
    let sharing = || {
        worker(&pool)
            .only::<(SharedHandler,)>()
            .state_arc(calls.clone())
    };
    let other = sharing().build().await.expect("it starts");
    let (stop, stopped) = oneshot::channel::<()>();
    let other = other.run_until(async {
        stopped.await.ok();
    });
    let drained = async {
        drain(sharing(), &pool).await;
        drop(stop);
    };
    let ((), ended) = tokio::join!(drained, other);
    ended.expect("it stops in order");
    assert_eq!(count_effects(&pool).await, (5_000, 5_000));
    let calls = calls.load(Ordering::SeqCst);
    assert!((50..500).contains(&calls), "{calls} calls");
}

#[derive(Serialize, Deserialize, taskq::Payload)]
struct Held {
    n: i64,
}

/// Waits in the first call until the test lets it go on.
#[derive(Default)]
struct Gate {
    calls: AtomicUsize,
    open: Notify,
}

impl Gate {
    async fn pass(&self) {
        if self.calls.fetch_add(1, Ordering::SeqCst) == 0 {
            self.open.notified().await;
        }
    }
}

#[task]
async fn held(
    #[batch(3, "1s")] all: Vec<Held>,
    tx: &mut PgConnection,
    gate: &Gate,
    sizes: &Sizes,
) -> sqlx::Result<()> {
    sizes.record(all.len());
    write_all(tx, all.iter().map(|it| it.n).collect()).await?;
    gate.pass().await;
    Ok(())
}

#[task(queue = "aside")]
async fn aside(tx: &mut PgConnection, n: i64) -> sqlx::Result<()> {
    write_all(tx, vec![n]).await
}

#[derive(Serialize, Deserialize, taskq::Payload)]
struct Leased {
    n: i64,
}

/// Waits until all calls of a claim are under way.
#[task]
async fn leased(
    #[batch(10, "1s")] all: Vec<Leased>,
    tx: &mut PgConnection,
    together: &Barrier,
) -> sqlx::Result<()> {
    write_all(tx, all.iter().map(|it| it.n).collect()).await?;
    together.wait().await;
    Ok(())
}

/// They would wait for each other's commits if they were in one lease.
#[tokio::test]
async fn each_call_of_one_claim_has_a_lease_of_its_own() {
    let (_database, pool) = database().await;
    effects(&pool).await;
    enqueue(&pool, (0..40).map(|n| Leased { n })).await;
    let together = Arc::new(Barrier::new(5));
    let calls = worker(&pool)
        .only::<(LeasedHandler,)>()
        .state_arc(together.clone());
    while_working(calls, async {
        let leases = "select count(*) from taskq.lease where cardinality(task_ids) = 10";
        until("four calls run", async || {
            one::<i64>(&pool, leases).await == 4
        })
        .await;
        together.wait().await;
        until("all ended", async || count_effects(&pool).await == (40, 40)).await;
    })
    .await;
    assert!(states(&pool).await.is_empty());
}

async fn cancelled_while_it_runs(pool: &PgPool, tells_the_worker: bool) {
    effects(pool).await;
    enqueue(pool, (0..3).map(|n| Held { n })).await;
    let (gate, sizes) = (Arc::new(Gate::default()), Arc::new(Sizes::default()));
    let holding = worker(pool)
        .only::<(HeldHandler,)>()
        .state_arc(gate.clone())
        .state_arc(sizes.clone());
    let holding = if tells_the_worker {
        holding
    } else {
        holding.listen(false)
    };
    while_working(holding, async {
        until("it runs", async || sizes.all() == [3]).await;
        let first = one::<i64>(
            pool,
            "select task_id from taskq.tasks where payload @> '{\"n\": 1}'",
        );
        let first = first.await;
        let cancelled = taskq::operate(pool).as_user("ada").cancel(first).await;
        cancelled.expect("cancelled");
        if !tells_the_worker {
            gate.open.notify_one();
        }
        let ended = async || {
            let states = states(pool).await;
            states.len() == 1 && states.contains_key("cancelled")
        };
        until("the others ended", ended).await;
    })
    .await;
    // What the first call wrote about the cancelled one was undone.
    let written: Vec<i64> = sqlx::query_scalar("select n from effect order by n")
        .fetch_all(pool)
        .await
        .expect("effects");
    assert_eq!(written, [0, 2]);
    assert_eq!(sizes.all(), [3, 2]);
}

#[tokio::test]
async fn one_that_is_cancelled_takes_the_transaction_down_and_the_others_run_again() {
    let (_database, pool) = database().await;
    cancelled_while_it_runs(&pool, true).await;
}

#[tokio::test]
async fn the_fence_is_that_of_each_task() {
    let (_database, pool) = database().await;
    cancelled_while_it_runs(&pool, false).await;
}

#[derive(Serialize, Deserialize, taskq::Payload)]
struct Patient {
    n: i64,
}

#[task]
async fn patient(
    #[batch(2, "10ms")] all: Vec<Patient>,
    _tx: &mut PgConnection,
    runs: &AtomicUsize,
) {
    runs.fetch_add(all.len(), Ordering::SeqCst);
}

#[tokio::test]
async fn a_handler_does_not_begin_whose_leases_were_lost_while_it_waited_for_a_connection() {
    let log = Log::capture();
    let (_database, pool) = database().await;
    let (gate, gated) = gated(&pool);
    let runs = Arc::new(AtomicUsize::new(0));
    let worker = brief_lease(&gated)
        .only::<(PatientHandler,)>()
        .state_arc(runs.clone());
    while_working(worker, async {
        enqueue(&pool, [Patient { n: 0 }]).await;
        until("one has run", async || states(&pool).await.is_empty()).await;
        let closed = gate.write().await;
        enqueue(&pool, (1..3).map(|n| Patient { n })).await;
        until("claimed", async || {
            states(&pool).await == [("running".into(), 2)].into()
        })
        .await;
        execute(&pool, "delete from taskq.lease").await;
        until("lost", async || log.has("leases lost")).await;
        drop(closed);
        until("over", async || log.has("this attempt does not count")).await;
    })
    .await;
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[derive(Serialize, Deserialize, taskq::Payload)]
struct Hears {
    n: i64,
}

#[task]
async fn hears(
    #[batch(2, "10ms")] _all: Vec<Hears>,
    _tx: &mut PgConnection,
    batch: &Batch,
    begun: &Notify,
    heard: &AtomicUsize,
) {
    begun.notify_one();
    batch[0].cancelled().await;
    heard.fetch_add(1, Ordering::SeqCst);
}

#[tokio::test]
async fn a_handler_has_no_time_to_end_by_itself_once_another_worker_may_have_its_tasks() {
    let log = Log::capture();
    let (_database, pool) = database().await;
    enqueue(&pool, (0..2).map(|n| Hears { n })).await;
    let (begun, heard) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let worker = brief_lease(&pool)
        .only::<(HearsHandler,)>()
        .state_arc(begun.clone())
        .state_arc(heard.clone());
    while_working(worker, async {
        begun.notified().await;
        execute(&pool, "delete from taskq.lease").await;
        until("over", async || log.has("this attempt does not count")).await;
    })
    .await;
    assert_eq!(heard.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn the_session_is_the_next_handlers_as_if_no_batch_had_had_it() {
    let (_database, pool) = database().await;
    effects(&pool).await;
    enqueue(&pool, (0..50).map(|n| Shared { n })).await;
    let mut db = pool.acquire().await.expect("a connection");
    for n in 100..110 {
        let task = Aside::enqueue(&mut db, n).queue("default");
        task.await.expect("enqueued");
    }
    let both = taskq::Worker::builder(pool.clone())
        .queue("default", 1)
        .only::<(SharedHandler, Aside)>()
        .state(AtomicUsize::new(0));
    drain(both, &pool).await;
    assert_eq!(count_effects(&pool).await, (60, 60));
}

#[derive(Serialize, Deserialize, taskq::Payload)]
struct Resets {
    n: i64,
}

#[task]
async fn resets(#[batch(5, "50ms")] all: Vec<Resets>, tx: &mut PgConnection) -> sqlx::Result<()> {
    write_all(tx, all.iter().map(|it| it.n).collect()).await?;
    // What is slow stands before the timeout: it is for what completes the batch.
    let odd = "create temp table left_behind (n int); deallocate all; set local search_path = pg_catalog; set local statement_timeout = '1ms'";
    sqlx::raw_sql(odd).execute(tx).await.map(|_| ())
}

#[tokio::test]
async fn what_a_handler_does_to_its_session_does_not_keep_its_tasks_from_completing() {
    let (_database, pool) = database().await;
    effects(&pool).await;
    enqueue(&pool, (0..20).map(|n| Resets { n })).await;
    drain(worker(&pool).only::<(ResetsHandler,)>(), &pool).await;
    assert_eq!(count_effects(&pool).await, (20, 20));
    assert!(states(&pool).await.is_empty());
}

#[derive(Serialize, Deserialize, taskq::Payload)]
#[taskq(max_attempts = 1)]
struct Mixes {
    n: i64,
}

/// Has an outcome for each, of which the first is what Postgres said.
#[task]
async fn mixes(
    #[batch(5, "50ms")] all: Vec<Mixes>,
    tx: &mut PgConnection,
    runs: &AtomicUsize,
) -> Vec<sqlx::Result<()>> {
    let written = async {
        write_all(tx, all.iter().map(|it| it.n).collect()).await?;
        if runs.fetch_add(1, Ordering::SeqCst) == 0 {
            sqlx::raw_sql("deallocate all").execute(&mut *tx).await?;
        }
        write_all(tx, Vec::new()).await
    };
    let mut said = written.await.err();
    let has_failed = said.is_some();
    let each = all.iter().map(|_| match has_failed {
        true => Err(said.take().unwrap_or(sqlx::Error::RowNotFound)),
        false => Ok(()),
    });
    each.collect()
}

#[tokio::test]
async fn a_batch_whose_statement_somebody_deallocated_is_not_charged() {
    let (_database, pool) = database().await;
    effects(&pool).await;
    enqueue(&pool, (0..5).map(|n| Mixes { n })).await;
    let runs = Arc::new(AtomicUsize::new(0));
    let mixing = worker(&pool).only::<(MixesHandler,)>();
    drain(mixing.state_arc(runs.clone()), &pool).await;
    assert!(states(&pool).await.is_empty(), "{:?}", states(&pool).await);
    assert_eq!(count_effects(&pool).await, (5, 5));
    assert_eq!(runs.load(Ordering::SeqCst), 2);
}

#[derive(Serialize, Deserialize, taskq::Payload)]
#[taskq(max_attempts = 1)]
struct Late {
    n: i64,
}

#[task]
async fn late(
    #[batch(6, "50ms")] all: Vec<Late>,
    batch: &Batch,
    tx: &mut LazyTx,
) -> anyhow::Result<Vec<i64>> {
    assert!(batch.iter().all(|attempt| attempt.is_last()));
    let numbers: Vec<i64> = all.iter().map(|it| it.n).collect();
    if numbers[0] >= 0 {
        write_all(tx.begin().await?, numbers.clone()).await?;
    }
    if numbers.contains(&50) {
        anyhow::bail!("no luck");
    }
    Ok(numbers)
}

#[tokio::test]
async fn a_batch_begins_its_transaction_when_it_wants() {
    let (_database, pool) = database().await;
    effects(&pool).await;
    let lately = || worker(&pool).only::<(LateHandler,)>();
    for numbers in [1..7, -6..0, 50..56] {
        enqueue(&pool, numbers.map(|n| Late { n })).await;
        drain(lately(), &pool).await;
    }
    assert_eq!(count_effects(&pool).await, (6, 6));
    let errors = errors(&pool).await;
    assert_eq!(errors.len(), 6);
    assert!(errors.iter().all(|(_, it)| it == "no luck"), "{errors:?}");
}

#[derive(Serialize, Deserialize, taskq::Payload)]
#[taskq(max_attempts = 1)]
struct Meddling {
    n: i64,
    how: String,
}

#[task]
async fn meddles(
    #[batch(5, "50ms")] all: Vec<Meddling>,
    tx: &mut PgConnection,
) -> sqlx::Result<()> {
    for it in &all {
        sqlx::raw_sql(sqlx::AssertSqlSafe(&*it.how))
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_batch_whose_transaction_was_ended_or_isolated_is_told_so_and_one_that_reads_completes() {
    for (how, said) in [
        ("commit and chain", Some("ended its task's transaction")),
        (
            "set transaction isolation level serializable",
            Some("isolation level"),
        ),
        ("set transaction read only", None),
    ] {
        let (_database, pool) = database().await;
        enqueue(
            &pool,
            (0..5).map(|n| Meddling {
                n,
                how: how.to_owned(),
            }),
        )
        .await;
        drain(worker(&pool).only::<(MeddlesHandler,)>(), &pool).await;
        let errors: Vec<String> =
            sqlx::query_scalar("select errors -> -1 ->> 'error' from taskq.dead")
                .fetch_all(&pool)
                .await
                .expect("read");
        assert_eq!(errors.len(), if said.is_some() { 5 } else { 0 }, "{how}");
        for error in errors {
            let error = error.to_lowercase();
            assert!(error.contains(said.unwrap_or("?")), "{how}: {error}");
        }
        assert_eq!(states(&pool).await.len(), usize::from(said.is_some()));
    }
}

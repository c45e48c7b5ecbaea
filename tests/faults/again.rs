//! Of each key one task runs and at most one waits, the newest: while workers are killed, attempts fail and many enqueue.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use sqlx::PgPool;
use taskq::unique::{Unique, Until};
use taskq_tests::checker::beyond;
use taskq_tests::history::{Event, events};
use taskq_tests::tasks::Repeatable;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::stage::{LEASE, Stage, seed};

/// How long the tasks of a key take, by which it is told from others.
const KEYS: std::ops::Range<u64> = 20..28;

/// Who enqueues at once.
const CLIENTS: i64 = 64;

/// For so long.
const TIME: Duration = Duration::from_secs(6);

/// Enqueues for a while, and notes in the same transaction in which order the calls had the key.
async fn enqueue_again_and_again(pool: PgPool, next: Arc<AtomicI64>) {
    let again = Unique::new().fields(&["takes_ms"]).until(Until::Again);
    let began = Instant::now();
    while began.elapsed() < TIME {
        let takes_ms = fastrand::u64(KEYS);
        let n = next.fetch_add(1, Ordering::SeqCst);
        let mut tx = pool.begin().await.expect("a transaction");
        let enqueue = Repeatable::enqueue(&mut tx, n, fastrand::u16(0..2), takes_ms);
        enqueue.unique(again).await.expect("enqueued");
        sqlx::query("insert into call (takes_ms, n) values ($1, $2)")
            .bind(takes_ms.cast_signed())
            .bind(n)
            .execute(&mut *tx)
            .await
            .expect("noted");
        match fastrand::u8(..8) {
            0 => tx.rollback().await.expect("rolled back"),
            _ => tx.commit().await.expect("committed"),
        }
        sleep(Duration::from_millis(fastrand::u64(0..100))).await;
    }
}

/// Lets workers and clients loose, and says what must not have happened.
async fn found(stage: &Stage) -> Vec<String> {
    stage
        .execute(
            "create table call (call_id bigserial, takes_ms bigint not null, n bigint not null)",
        )
        .await;
    let mut workers = Vec::from_iter((0..3).map(|_| stage.worker().start()));
    let next = Arc::new(AtomicI64::new(1));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(enqueue_again_and_again(stage.pool.clone(), next.clone()));
    }
    let began = Instant::now();
    while began.elapsed() < TIME {
        sleep(Duration::from_millis(fastrand::u64(200..900))).await;
        let victim = fastrand::usize(..workers.len());
        stage.fault("a worker is killed");
        workers[victim].kill();
        workers[victim] = stage.worker().start();
    }
    while let Some(client) = clients.join_next().await {
        client.expect("a client");
    }
    stage.over().await;

    let calls: Vec<(i64, i64)> = sqlx::query_as("select n, takes_ms from call order by call_id")
        .fetch_all(&stage.pool)
        .await
        .expect("the calls");
    let calls = || calls.iter().enumerate();
    let key_of: HashMap<i64, i64> = calls().map(|(_, call)| *call).collect();
    let place_of: HashMap<i64, usize> = calls().map(|(place, (n, _))| (*n, place)).collect();
    let last_of: HashMap<i64, usize> = calls().map(|(place, (_, key))| (*key, place)).collect();
    let history = stage.read_history();
    let at_once = beyond(&history, LEASE / 12, 1, |n| Some(key_of[&n]));
    let mut found = Vec::from_iter(at_once.iter().map(|it| format!("at once: {it:?}")));
    let mut starts: Vec<_> = events(&history)
        .filter_map(|(at, event)| match event {
            Event::Started { n, .. } => Some((at, *n)),
            _ => None,
        })
        .collect();
    starts.sort_unstable();
    let mut newest = HashMap::new();
    for (_, n) in &starts {
        if newest.insert(key_of[n], place_of[n]) > Some(place_of[n]) {
            found.push(format!("{n} starts after a newer one"));
        }
    }
    if newest != last_of {
        found.push(format!(
            "{newest:?} have started, and {last_of:?} came last"
        ));
    }
    let (calls, starts, faults) = (key_of.len(), starts.len(), stage.faults());
    println!("{calls} calls, {starts} starts, {faults:?}");
    assert!(calls > starts && starts > 20, "{stage}");
    found
}

#[tokio::test]
async fn no_two_of_a_key_run_at_once_and_no_enqueue_is_lost_while_workers_are_killed() {
    seed();
    let stage = Stage::shared().await;
    assert_eq!(found(&stage).await, [""; 0], "{stage}");
}

#[tokio::test]
async fn two_of_a_key_at_once_and_older_ones_after_newer_ones_would_be_found() {
    seed();
    for bug in [
        "create or replace function taskq.may_start(id bigint, of_type text, of_key jsonb) returns boolean language sql return true",
        "create or replace function taskq.living(ids bigint[]) returns bigint[] language sql stable return null::bigint[]",
    ] {
        let stage = Stage::shared().await;
        stage.execute(bug).await;
        let found = found(&stage).await;
        assert!(!found.is_empty(), "{bug}");
    }
}

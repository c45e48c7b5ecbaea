//! Handlers of many payloads in one call.

mod apart;
mod hooks;
mod poison;
mod shared;
mod transaction;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use taskq::outcome::{cancel, discard, snooze};
use taskq::{Batch, WorkerBuilder, enqueue_many, task};

use crate::support::{database, drain, execute, one, states, until, while_working, worker};

/// How large the batches were, in the order in which they began.
#[derive(Default)]
pub(crate) struct Sizes(Mutex<Vec<usize>>);

impl Sizes {
    fn record(&self, size: usize) {
        self.0.lock().expect("no panic").push(size);
    }

    fn all(&self) -> Vec<usize> {
        self.0.lock().expect("no panic").clone()
    }
}

async fn enqueue<P: taskq::Payload>(pool: &PgPool, payloads: impl IntoIterator<Item = P>) {
    let mut db = pool.acquire().await.expect("a connection");
    enqueue_many(&mut db, payloads).await.expect("enqueued");
}

/// Its errors, of the tasks that are left, by task.
async fn errors(pool: &PgPool) -> Vec<(String, String)> {
    sqlx::query_as(
        "select payload ->> 'n', coalesce(string_agg(error ->> 'error', '; '), '')
         from taskq.tasks left join jsonb_array_elements(errors) as error on true
         group by task_id, payload order by task_id",
    )
    .fetch_all(pool)
    .await
    .expect("the view is readable")
}

#[derive(Serialize, Deserialize, taskq::Payload)]
struct Counted {
    n: i64,
}

#[task]
async fn counts(
    #[batch(100, "20ms")] all: Vec<Counted>,
    sizes: &Sizes,
    #[inject] again: Arc<Sizes>,
) {
    assert!(all.iter().all(|it| it.n < 1_000) && again.all().len() < 1_000);
    sizes.record(all.len());
}

fn counting(pool: &PgPool, sizes: &Arc<Sizes>) -> WorkerBuilder {
    worker(pool)
        .only::<(CountsHandler,)>()
        .state_arc(sizes.clone())
}

#[tokio::test]
async fn many_payloads_are_handled_in_one_call() {
    let (_database, pool) = database().await;
    enqueue(&pool, (0..250).map(|n| Counted { n })).await;
    let sizes = Arc::new(Sizes::default());
    drain(counting(&pool, &sizes), &pool).await;
    let sizes = sizes.all();
    assert_eq!(sizes.iter().sum::<usize>(), 250);
    assert_eq!(sizes.iter().max(), Some(&100), "{sizes:?}");
    assert!(sizes.len() <= 4, "{sizes:?}");
}

#[tokio::test]
async fn what_is_due_at_once_is_in_one_lease_where_a_batch_has_room_for_it() {
    #[derive(Serialize, Deserialize, taskq::Payload)]
    struct Leased {
        n: i64,
    }
    #[task]
    async fn leased(#[batch(60, "5s")] all: Vec<Leased>, pool: &PgPool, sizes: &Sizes) {
        let leases: i64 = one(pool, "select count(*) from taskq.lease").await;
        assert_eq!((all.len(), leases, all[0].n), (60, 1, 0));
        sizes.record(all.len());
    }
    let (_database, pool) = database().await;
    enqueue(&pool, (0..60).map(|n| Leased { n })).await;
    let sizes = Arc::new(Sizes::default());
    let leased = worker(&pool)
        .only::<(LeasedHandler,)>()
        .state(pool.clone())
        .state_arc(sizes.clone());
    drain(leased, &pool).await;
    assert_eq!(sizes.all(), [60]);
}

#[tokio::test]
async fn a_full_batch_waits_for_nothing_and_a_lone_task_no_longer_than_its_type_says() {
    #[derive(Serialize, Deserialize, taskq::Payload)]
    struct Patient {
        n: i64,
    }
    // Longer than a test may take.
    #[task]
    async fn waits_long(#[batch(3, "1m")] all: Vec<Patient>, sizes: &Sizes) {
        assert!(all.iter().all(|it| it.n >= 0));
        sizes.record(all.len());
    }
    let (_database, pool) = database().await;
    let sizes = Arc::new(Sizes::default());
    let patient = worker(&pool)
        .only::<(WaitsLongHandler, CountsHandler)>()
        .state_arc(sizes.clone());
    while_working(patient, async {
        enqueue(&pool, (0..2).map(|n| Patient { n })).await;
        let claimed = async || states(&pool).await.get("running") == Some(&2);
        until("claimed, and waiting for a third", claimed).await;
        enqueue(&pool, [Counted { n: 1 }]).await;
        until("the lone one ran", async || sizes.all() == [1]).await;
        // It leaves its lease after its handler has returned.
        until("the two still wait", claimed).await;
        enqueue(&pool, [Patient { n: 2 }]).await;
        until("the full one ran", async || sizes.all() == [1, 3]).await;
        enqueue(&pool, [Patient { n: 3 }]).await;
        let claimed = async || states(&pool).await.get("running") == Some(&1);
        until("claimed", claimed).await;
    })
    .await;
    // The stop has handed it back, uncharged.
    assert_eq!(errors(&pool).await.len(), 1);
    let waiting: (String, i32) = sqlx::query_as("select state, attempts from taskq.tasks")
        .fetch_one(&pool)
        .await
        .expect("it waits");
    assert_eq!(waiting, ("waiting".to_owned(), 0));
}

#[derive(Serialize, Deserialize, taskq::Payload)]
#[taskq(max_attempts = 2, result = i64)]
struct Various {
    n: i64,
}

#[task(retry = "fixed(1ms)", result = "keep", on_discard = told)]
async fn varies(#[batch(50, "20ms")] all: Vec<Various>, batch: &Batch) -> Vec<anyhow::Result<i64>> {
    assert_eq!(all.len(), batch.len());
    let outcome = |it: &Various, attempt: &taskq::Attempt| match (it.n, attempt.number()) {
        (1, 1) => anyhow::bail!("no luck with {}", it.n),
        (2, _) => anyhow::bail!("never any luck"),
        (3, _) => Err(snooze(Duration::from_secs(60)).into()),
        (4, _) => Err(discard("too late").into()),
        (5, _) => Err(cancel("nobody wants it").into()),
        (6, _) => {
            attempt.cancel("said by its attempt");
            Ok(6)
        }
        (n, _) => Ok(n * 10),
    };
    all.iter()
        .zip(batch)
        .map(|(it, attempt)| outcome(it, attempt))
        .collect()
}

async fn told(
    payload: Various,
    discarded: taskq::Discarded<'_>,
    tx: &mut sqlx::PgConnection,
) -> sqlx::Result<()> {
    sqlx::query("insert into told values ($1, $2)")
        .bind(payload.n)
        .bind(discarded.error())
        .execute(tx)
        .await?;
    Ok(())
}

#[tokio::test]
async fn each_task_has_the_outcome_that_stands_at_its_place() {
    let (_database, pool) = database().await;
    execute(&pool, "create table told (n bigint, why text)").await;
    enqueue(&pool, (1..=9).map(|n| Various { n })).await;
    let various = worker(&pool).only::<(VariesHandler,)>();
    let is_done = async || {
        let busy = "select count(*) from taskq.tasks where state in ('waiting', 'running') and run_at < now() + interval '20 s'";
        one::<i64>(&pool, busy).await == 0
    };
    while_working(various, until("all ended", is_done)).await;
    let tasks: Vec<(i64, String, Option<i64>, i32)> = sqlx::query_as(
        "select (payload ->> 'n')::bigint, state, (result #>> '{}')::bigint, attempts
         from taskq.tasks order by 1",
    )
    .fetch_all(&pool)
    .await
    .expect("the view is readable");
    let expected = [
        (1, "completed", Some(10), 2),
        (2, "discarded", None, 2),
        (3, "waiting", None, 0),
        (4, "discarded", None, 1),
        (5, "cancelled", None, 1),
        (6, "cancelled", None, 1),
        (7, "completed", Some(70), 1),
        (8, "completed", Some(80), 1),
        (9, "completed", Some(90), 1),
    ];
    let expected = expected.map(|(n, state, result, attempts)| (n, state.into(), result, attempts));
    assert_eq!(tasks, expected);
    let told: Vec<(i64, String)> = sqlx::query_as("select n, why from told order by n")
        .fetch_all(&pool)
        .await
        .expect("told");
    let expected = [(2, "never any luck"), (4, "discarded: too late")];
    assert_eq!(told, expected.map(|(n, why)| (n, why.to_owned())));
}

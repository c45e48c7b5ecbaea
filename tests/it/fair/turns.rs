//! In what order the tasks of several tenants start.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use sqlx::{PgConnection, PgPool};
use taskq::{Worker, task};

use super::{Starts, enqueue, renderer, renderer_of, started};
use crate::support::{database, drain, execute, one, states, until, while_working};

/// More tasks than a worker of ten slots claims ahead, whose handlers take 10 ms.
const BATCH: usize = 300;

/// Has at least so many tasks started.
async fn at_least(starts: &Starts, count: usize) {
    until("started", async || started(starts).len() >= count).await;
}

/// Returns how many of some starts are of a tenant.
fn of(tenant_id: i64, starts: &[i64]) -> usize {
    starts.iter().filter(|it| **it == tenant_id).count()
}

/// Declares the keys, before anything is enqueued.
async fn declare(pool: &PgPool, starts: &Arc<Starts>) {
    renderer(pool, starts).build().await.expect("it starts");
}

#[tokio::test]
async fn a_tenant_with_one_task_starts_within_one_batch_of_a_tenant_with_many() {
    let (_database, pool) = database().await;
    let starts = Arc::new(Starts::default());
    declare(&pool, &starts).await;
    enqueue(&pool, 1, 100_000).await;
    while_working(renderer(&pool, &starts), async {
        at_least(&starts, 100).await;
        // Before and behind the other, by the order of the keys.
        for tenant_id in [0, 2] {
            let before = started(&starts).len();
            enqueue(&pool, tenant_id, 1).await;
            until("it starts", async || started(&starts).contains(&tenant_id)).await;
            let place = started(&starts).iter().position(|it| *it == tenant_id);
            let waited_for = place.expect("it has started").saturating_sub(before);
            assert!(waited_for < BATCH, "{tenant_id}: {waited_for} before it");
        }
    })
    .await;
}

#[tokio::test]
async fn keys_have_turns_by_their_weights_over_two_workers() {
    let (_database, pool) = database().await;
    let starts = Arc::new(Starts::default());
    declare(&pool, &starts).await;
    execute(
        &pool,
        r#"select taskq.set_weight('render', '{"tenant_id": 1}', 3)"#,
    )
    .await;
    for tenant_id in [1, 2] {
        enqueue(&pool, tenant_id, 5_000).await;
    }
    let two = || renderer(&pool, &starts);
    tokio::join!(
        while_working(two(), at_least(&starts, 4_000)),
        while_working(two(), at_least(&starts, 4_000))
    );
    let starts = started(&starts);
    let ratio = of(1, &starts[..4_000]) as f64 / of(2, &starts[..4_000]) as f64;
    assert!((2.85..=3.15).contains(&ratio), "{ratio}");
    // And not by batches: of each twenty.
    let uneven = starts[..4_000].chunks(20).filter(|it| of(2, it) == 0);
    assert!(uneven.count() < 20);
}

#[tokio::test]
async fn claims_of_one_task_keep_to_the_turns_too() {
    let (_database, pool) = database().await;
    let starts = Arc::new(Starts::default());
    declare(&pool, &starts).await;
    execute(
        &pool,
        r#"select taskq.set_weight('render', '{"tenant_id": 2}', 2)"#,
    )
    .await;
    for tenant_id in [1, 2, 3] {
        enqueue(&pool, tenant_id, 40).await;
    }
    drain(renderer_of(1, &pool, &starts), &pool).await;
    let starts = started(&starts);
    assert_eq!([1, 2, 2, 3].repeat(20), starts[..80]);
    // Tenant 2 has no more then.
    let uneven = starts[80..].windows(2).filter(|two| two[0] == two[1]);
    assert!(uneven.count() <= 2, "{:?}", &starts[80..]);
}

#[tokio::test]
async fn ten_thousand_tenants_of_one_task_each_run_once() {
    let (_database, pool) = database().await;
    let starts = Arc::new(Starts::default());
    declare(&pool, &starts).await;
    let mut db = pool.acquire().await.expect("a connection");
    let many = (0..10_000).map(|tenant_id| super::Render { tenant_id });
    taskq::enqueue_many(&mut db, many).await.expect("enqueued");
    let two = || renderer_of(100, &pool, &starts);
    tokio::join!(drain(two(), &pool), drain(two(), &pool));
    let mut starts = started(&starts);
    starts.sort_unstable();
    assert_eq!(starts, Vec::from_iter(0..10_000));
}

#[tokio::test]
async fn a_tenant_that_comes_and_goes_earns_no_credit() {
    let (_database, pool) = database().await;
    let starts = Arc::new(Starts::default());
    declare(&pool, &starts).await;
    enqueue(&pool, 1, 100_000).await;
    while_working(renderer(&pool, &starts), async {
        for _ in 0..2 {
            let absent = started(&starts).len() + 500;
            at_least(&starts, absent).await;
            let before = of(2, &started(&starts));
            enqueue(&pool, 2, 300).await;
            until("all of it", async || {
                of(2, &started(&starts)) == before + 300
            })
            .await;
            let starts = started(&starts);
            let places: Vec<usize> = (0..starts.len()).filter(|at| starts[*at] == 2).collect();
            let (first, last) = (places[before], places[before + 299]);
            let others = of(1, &starts[first..last]);
            // Turn by turn, although it has had none for so long.
            assert!((270..=330).contains(&others), "{others}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_batch_is_filled_by_those_that_have_more() {
    let (_database, pool) = database().await;
    let starts = Arc::new(Starts::default());
    declare(&pool, &starts).await;
    for (tenant_id, count) in [(1, 400), (2, 300), (3, 10), (4, 1)] {
        enqueue(&pool, tenant_id, count).await;
    }
    let claim = "
        select cardinality(task_ids)::bigint
        from taskq.claim_fair(
            gen_random_uuid(), gen_random_uuid(), 30, 'default', array['render'], 'render', 1::smallint, 0, 0::smallint,
            500, null, 0, false, false, false
        )
        where lease_id is not null";
    assert_eq!(one::<i64>(&pool, claim).await, 500);
    assert_eq!(one::<i64>(&pool, claim).await, 211, "and the rest");
}

/// A tenant's tasks that are due later do not stop those of others, and are found when they are due.
#[tokio::test]
async fn a_key_whose_tasks_are_due_later_has_no_turn() {
    let (_database, pool) = database().await;
    let starts = Arc::new(Starts::default());
    declare(&pool, &starts).await;
    let mut db = pool.acquire().await.expect("a connection");
    // More keys than one claim looks at.
    let later = (0..3_000).map(|tenant_id| super::Render { tenant_id });
    taskq::enqueue_many(&mut db, later).await.expect("enqueued");
    execute(
        &pool,
        "update taskq.task set run_at = now() + interval '1 hour'",
    )
    .await;
    enqueue(&pool, 5_000, 20).await;
    enqueue(&pool, -5, 20).await;
    while_working(renderer(&pool, &starts), async {
        until("the others ran", async || started(&starts).len() == 40).await;
        execute(
            &pool,
            "update taskq.task set run_at = now() where task_id % 1000 = 0",
        )
        .await;
        until("those that are due ran", async || {
            started(&starts).len() == 43
        })
        .await;
    })
    .await;
    assert_eq!(states(&pool).await["waiting"], 2_997);
}

#[tokio::test]
async fn keys_have_their_turns_within_a_limit_of_the_type_too() {
    let (_database, pool) = database().await;
    let starts = Arc::new(Starts::default());
    declare(&pool, &starts).await;
    execute(
        &pool,
        "select taskq.limit_concurrency('task_type', 'render', 4)",
    )
    .await;
    execute(
        &pool,
        r#"select taskq.set_weight('render', '{"tenant_id": 1}', 3)"#,
    )
    .await;
    enqueue(&pool, 1, 2_000).await;
    enqueue(&pool, 2, 2_000).await;
    while_working(renderer(&pool, &starts), async {
        at_least(&starts, 1_000).await;
        enqueue(&pool, 3, 1).await;
        let before = started(&starts).len();
        until("it starts", async || started(&starts).contains(&3)).await;
        let place = started(&starts).iter().position(|it| *it == 3);
        let waited_for = place.expect("it has started").saturating_sub(before);
        assert!(waited_for < 30, "{waited_for} before it");
    })
    .await;
    let starts = started(&starts);
    let ratio = of(1, &starts[..1_000]) as f64 / of(2, &starts[..1_000]) as f64;
    // Chance decides when a turn is over: four times as far off as it is on average.
    assert!((2.3..=3.9).contains(&ratio), "{ratio}");
}

type ByTenant = Mutex<BTreeMap<i64, usize>>;

#[task(fair = tenant_id)]
async fn by_transaction(
    tx: &mut PgConnection,
    ran: &ByTenant,
    tenant_id: i64,
) -> Result<(), String> {
    let _ = tx;
    let mut ran = ran.lock().expect("no panic");
    *ran.entry(tenant_id).or_default() += 1;
    Ok(())
}

#[tokio::test]
async fn tasks_that_complete_in_their_own_transactions_take_turns() {
    let (_database, pool) = database().await;
    let ran = Arc::new(ByTenant::default());
    let worker = || {
        Worker::builder(pool.clone())
            .only::<(ByTransaction,)>()
            .queue("default", 5)
            .state_arc(ran.clone())
    };
    worker().build().await.expect("it starts");
    let mut db = pool.acquire().await.expect("a connection");
    let many = (0..600).map(|n| ByTransaction { tenant_id: n % 3 });
    taskq::enqueue_many(&mut db, many).await.expect("enqueued");
    drain(worker(), &pool).await;
    let expected = BTreeMap::from([(0, 200), (1, 200), (2, 200)]);
    assert_eq!(*ran.lock().expect("no panic"), expected);
}

#[tokio::test]
async fn a_claim_that_is_short_says_whether_something_is_left() {
    let (_database, pool) = database().await;
    crate::support::execute(
        &pool,
        r#"insert into taskq.limit_rule (scope, name, kind, fields, declared_most, is_settled)
           values ('key', 't', 'fair', '{k}', 1, true);
           update taskq.limit_rule set keyless_to = null;
           insert into taskq.task (task_type, payload)
           select 't', jsonb_build_object('k', k)
           from unnest(array[1, 2, 3], array[2, 1, 20]) as one (k, number)
           cross join lateral generate_series(1, number)"#,
    )
    .await;
    let (claimed, is_end): (i64, bool) = sqlx::query_as(
        "select sum(cardinality(task_ids)), bool_and(is_end)
         from taskq.claim_fair(gen_random_uuid(), gen_random_uuid(), 60, 'default', '{t}', 't', 0::smallint, 0, 0::smallint,
             5, null, 0, false, true, false)
         where is_end is not null",
    )
    .fetch_one(&pool)
    .await
    .expect("claimed");
    assert!(
        claimed <= 5 && !is_end,
        "{claimed} of 23, and the end: {is_end}"
    );
}

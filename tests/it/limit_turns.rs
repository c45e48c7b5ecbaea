//! Which keys a claim looks at once a limited lane was full: those of which something has ended, unless others may have
//! room. Workers poll so seldom here that whatever a claim misses is missed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::PgPool;
use taskq::{Worker, WorkerBuilder, task};
use tokio::time::{Instant, sleep};

use crate::support::{database, drain, execute, one, until, while_working};

/// How long handlers take.
const WORK: Duration = Duration::from_millis(10);

#[task(concurrency(1, key = tenant_id))]
async fn by_tenant(done: &AtomicUsize, tenant_id: i64) {
    sleep(WORK).await;
    if tenant_id == NEW {
        done.fetch_add(1, Ordering::SeqCst);
    }
}

/// A tenant that comes later.
const NEW: i64 = 7;

#[task(concurrency(1, key = tenant_id))]
async fn by_both(tenant_id: i64) {
    let _ = tenant_id;
    sleep(WORK).await;
}

/// What runs at the same time.
#[derive(Default)]
struct Meter {
    now: AtomicUsize,
    most: AtomicUsize,
}

#[task(concurrency(2, key = tenant_id))]
async fn counted(meter: &Meter, tenant_id: i64) {
    let _ = tenant_id;
    let now = meter.now.fetch_add(1, Ordering::SeqCst) + 1;
    meter.most.fetch_max(now, Ordering::SeqCst);
    sleep(WORK).await;
    meter.now.fetch_sub(1, Ordering::SeqCst);
}

fn rarely_polling(pool: &PgPool) -> WorkerBuilder {
    Worker::builder(pool.clone())
        .queue("default", 20)
        .poll_interval(Duration::from_secs(600))
}

async fn waiting(pool: &PgPool) -> i64 {
    one(pool, "select count(*) from taskq.task").await
}

#[tokio::test]
async fn a_key_that_comes_while_others_have_used_their_places_up_is_found() {
    let (_database, pool) = database().await;
    let done = Arc::new(AtomicUsize::new(0));
    let mut db = pool.acquire().await.expect("a connection");
    let many = (0..600).map(|n| ByTenant { tenant_id: n % 3 });
    taskq::enqueue_many(&mut db, many).await.expect("enqueued");
    let worker = rarely_polling(&pool)
        .only::<(ByTenant,)>()
        .state_arc(done.clone());
    let comes = async {
        until("some have run", async || waiting(&pool).await < 580).await;
        ByTenant::enqueue(&mut db, NEW).await.expect("enqueued");
        let began = Instant::now();
        until("it has run", async || done.load(Ordering::SeqCst) == 1).await;
        let waited = began.elapsed();
        assert!(waiting(&pool).await > 0, "it waited for the others");
        assert!(waited < Duration::from_secs(1), "it waited for {waited:?}");
        until("all have run", async || waiting(&pool).await == 0).await;
    };
    while_working(worker, comes).await;
}

#[tokio::test]
async fn what_ends_leaves_room_for_any_key_where_the_type_is_limited_too() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    execute(
        &pool,
        "select taskq.limit_concurrency('task_type', 'by_both', 1)",
    )
    .await;
    // The place goes from one key to the next with each task.
    let tasks = (0..40).map(|tenant_id| ByBoth { tenant_id });
    taskq::enqueue_many(&mut db, tasks).await.expect("enqueued");
    let began = Instant::now();
    drain(rarely_polling(&pool).only::<(ByBoth,)>(), &pool).await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "it took {took:?}");
}

#[tokio::test]
async fn a_higher_limit_is_used_while_keys_end() {
    let (_database, pool) = database().await;
    let meter = Arc::new(Meter::default());
    let mut db = pool.acquire().await.expect("a connection");
    let tasks = (0..400).map(|n| Counted { tenant_id: n % 2 });
    taskq::enqueue_many(&mut db, tasks).await.expect("enqueued");
    let most = || meter.most.load(Ordering::SeqCst);
    let worker = rarely_polling(&pool)
        .only::<(Counted,)>()
        .state_arc(meter.clone());
    let rises = async {
        until("two of each run", async || most() == 4).await;
        sleep(Duration::from_millis(100)).await;
        assert_eq!(most(), 4);
        execute(&pool, "select taskq.limit_concurrency('key', 'counted', 5)").await;
        until("five of each run", async || most() == 10).await;
        assert!(waiting(&pool).await > 0);
    };
    while_working(worker, rises).await;
}

#[tokio::test]
async fn a_key_that_is_named_twice_is_claimed_once() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        r#"insert into taskq.limit_rule (scope, name, kind, fields, aliases, declared_most, is_settled)
           values ('key', 'held', 'concurrency', '{k}', '{held_before}', 1, true);
           update taskq.limit_rule set keyless_to = null;
           insert into taskq.task (task_type, payload) values ('held', '{"k": 1}')"#,
    )
    .await;
    let leases: i64 = one(
        &pool,
        r#"select count(lease_id) from taskq.claim_limited(gen_random_uuid(), 60, 'default', '{held,held_before}', 'held',
             0::smallint, 0, 0::smallint, 10, 10, null, null, null, null, false, false,
             array[taskq.limit_key('{"k": 1}', '{k}'), taskq.limit_key('{"k": 1}', '{k}'), null])"#,
    )
    .await;
    assert_eq!(leases, 1);
}

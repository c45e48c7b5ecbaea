//! How fast tasks start, over all workers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::PgPool;
use taskq::operate::{Bound, TaskType};
use taskq::{Attempt, task};
use tokio::time::{Instant, sleep};

use crate::support::{database, drain, execute, one, until, while_working, worker};

type Starts = Mutex<Vec<(i64, Instant)>>;

#[task(rate("20/s", burst = 4))]
async fn call(starts: &Starts, n: i64) {
    starts.lock().expect("no panic").push((n, Instant::now()));
}

#[task(concurrency(1, key = tenant_id), rate("10/s", burst = 2, key = tenant_id))]
async fn call_for(starts: &Starts, tenant_id: i64) {
    starts
        .lock()
        .expect("no panic")
        .push((tenant_id, Instant::now()));
    sleep(Duration::from_millis(5)).await;
}

/// Returns how many start at the most in a stretch of so much time.
fn most_within(starts: &[Instant], time: Duration) -> usize {
    let counts = starts.iter().map(|first| {
        let within = starts
            .iter()
            .filter(|it| **it >= *first && **it < *first + time);
        within.count()
    });
    counts.max().unwrap_or(0)
}

async fn enqueue(pool: &PgPool, sql: &'static str) {
    execute(pool, sql).await;
}

#[tokio::test]
async fn no_stretch_of_time_has_more_starts_than_the_rate_and_the_burst() {
    let (_database, pool) = database().await;
    let starts = Arc::new(Starts::default());
    enqueue(&pool, "insert into taskq.task (task_type, payload) select 'call', jsonb_build_object('n', n) from generate_series(1, 44) as n").await;
    let one_worker = || {
        let worker = worker(&pool)
            .only::<(Call,)>()
            .poll_interval(Duration::from_secs(60));
        worker.state_arc(starts.clone())
    };
    let began = Instant::now();
    while_working(one_worker(), drain(one_worker(), &pool)).await;
    let took = began.elapsed();
    let mut starts: Vec<_> = starts
        .lock()
        .expect("no panic")
        .iter()
        .map(|it| it.1)
        .collect();
    starts.sort();
    assert!(
        took > Duration::from_millis(1_900),
        "40 behind the burst take two seconds: {took:?}"
    );
    assert!(took < Duration::from_secs(6), "{took:?}");
    // A start is later than its claim by as long as an answer takes.
    for (milliseconds, most) in [(100, 4 + 2 + 3), (500, 4 + 10 + 3), (1_000, 4 + 20 + 3)] {
        let found = most_within(&starts, Duration::from_millis(milliseconds));
        assert!(found <= most, "{found} within {milliseconds} ms");
    }
}

#[tokio::test]
async fn what_is_beyond_the_rate_waits_in_its_place_and_is_not_charged() {
    let (_database, pool) = database().await;
    let starts = Arc::new(Starts::default());
    taskq::operate(&pool)
        .limit(TaskType("call"))
        .rate(1, Duration::from_secs(3_600))
        .burst(3)
        .await
        .expect("limited");
    enqueue(&pool, "insert into taskq.task (task_type, payload) select 'call', jsonb_build_object('n', n) from generate_series(1, 100) as n").await;
    while_working(
        worker(&pool).only::<(Call,)>().state_arc(starts.clone()),
        async {
            until("the burst", async || {
                one::<i64>(&pool, "select count(*) from taskq.task").await == 97
            })
            .await;
            sleep(Duration::from_millis(300)).await;
        },
    )
    .await;
    let mut first: Vec<_> = starts
        .lock()
        .expect("no panic")
        .iter()
        .map(|it| it.0)
        .collect();
    first.sort_unstable();
    assert_eq!(first.len(), 3, "{first:?}");
    let untouched = "select count(*) from taskq.task where attempts = 0 and errors is null and run_at = created_at";
    assert_eq!(one::<i64>(&pool, untouched).await, 97);
    // Time goes on.
    execute(
        &pool,
        "update taskq.gate set next_start = next_start - interval '2 hours'",
    )
    .await;
    while_working(
        worker(&pool).only::<(Call,)>().state_arc(starts.clone()),
        async {
            until("two more", async || {
                one::<i64>(&pool, "select count(*) from taskq.task").await == 95
            })
            .await;
        },
    )
    .await;
}

#[tokio::test]
async fn each_key_has_the_rate_by_itself_beside_its_concurrency() {
    let (_database, pool) = database().await;
    let starts = Arc::new(Starts::default());
    let mut db = pool.acquire().await.expect("a connection");
    for tenant_id in 1..=4 {
        let tasks = (0..12).map(|_| CallFor { tenant_id });
        taskq::enqueue_many(&mut db, tasks).await.expect("enqueued");
    }
    let one_worker = || worker(&pool).only::<(CallFor,)>().state_arc(starts.clone());
    let began = Instant::now();
    one_worker().build().await.expect("it declares its limits");
    while_working(one_worker(), drain(one_worker(), &pool)).await;
    assert!(
        began.elapsed() > Duration::from_millis(950),
        "{:?}",
        began.elapsed()
    );
    let starts = starts.lock().expect("no panic");
    for tenant_id in 1..=4 {
        let of_tenant = starts.iter().filter(|it| it.0 == tenant_id).map(|it| it.1);
        let of_tenant: Vec<_> = of_tenant.collect();
        assert_eq!(of_tenant.len(), 12);
        let found = most_within(&of_tenant, Duration::from_millis(500));
        assert!(found <= 2 + 5 + 2, "{found} of tenant {tenant_id}");
    }
}

#[tokio::test]
async fn a_rate_is_told_as_it_was_said() {
    let (_database, pool) = database().await;
    let operator = taskq::operate(&pool);
    operator
        .limit(TaskType("call"))
        .rate(100, Duration::from_secs(60))
        .burst(20)
        .await
        .expect("limited");
    let limits = operator.limits().await.expect("limits");
    let said = Bound::Rate {
        most: 100,
        per: Duration::from_secs(60),
        burst: 20,
    };
    assert_eq!(limits[0].in_force, Some(said));
    let refused = operator
        .limit(TaskType("call"))
        .rate(0, Duration::from_secs(60))
        .await;
    assert!(
        refused
            .expect_err("no rate")
            .to_string()
            .contains("at least one start")
    );
    let nothing = operator
        .limit(TaskType("call"))
        .await
        .expect_err("says nothing");
    assert!(nothing.to_string().starts_with("say how"));
}

/// Says `429` until the test lets it through.
#[task(concurrency(2, key = tenant_id))]
async fn ask(attempt: &Attempt, starts: &Starts, open: &AtomicBool, tenant_id: i64) {
    starts
        .lock()
        .expect("no panic")
        .push((tenant_id, Instant::now()));
    if tenant_id == 1 && !open.load(Ordering::SeqCst) {
        attempt.hold_key(Duration::from_secs(3_600));
    }
}

#[tokio::test]
async fn a_handler_holds_its_key_for_all_workers() {
    let (_database, pool) = database().await;
    let (starts, open) = (
        Arc::new(Starts::default()),
        Arc::new(AtomicBool::new(false)),
    );
    let mut db = pool.acquire().await.expect("a connection");
    for tenant_id in [1, 2] {
        let tasks = (0..20).map(|_| Ask { tenant_id });
        taskq::enqueue_many(&mut db, tasks).await.expect("enqueued");
    }
    let one_worker = || {
        let worker = worker(&pool).only::<(Ask,)>();
        worker.state_arc(starts.clone()).state_arc(open.clone())
    };
    let of = |tenant_id| {
        let starts = starts.lock().expect("no panic");
        starts.iter().filter(|it| it.0 == tenant_id).count()
    };
    let both = while_working(one_worker(), async {
        until("the other has all", async || of(2) == 20).await;
        sleep(Duration::from_millis(300)).await;
    });
    while_working(one_worker(), both).await;
    assert!(of(1) <= 4, "{}: no more than were in flight", of(1));
    let charged = "select count(*) from taskq.task where attempts > 0 or errors is not null";
    assert_eq!(one::<i64>(&pool, charged).await, 0);
    open.store(true, Ordering::SeqCst);
    execute(
        &pool,
        "update taskq.gate set held_until = now(); update taskq.task set run_at = now()",
    )
    .await;
    drain(one_worker(), &pool).await;
    assert!(of(1) >= 20);
}

#[tokio::test]
async fn keys_that_were_used_once_leave_nothing_behind() {
    let (_database, pool) = database().await;
    let starts = Arc::new(Starts::default());
    let mut db = pool.acquire().await.expect("a connection");
    let tasks = (0..1_000).map(|tenant_id| CallFor { tenant_id });
    taskq::enqueue_many(&mut db, tasks).await.expect("enqueued");
    drain(
        worker(&pool).only::<(CallFor,)>().state_arc(starts.clone()),
        &pool,
    )
    .await;
    assert!(one::<i64>(&pool, "select count(*) from taskq.gate").await > 0);
    execute(
        &pool,
        "update taskq.gate set next_start = next_start - interval '1 minute'",
    )
    .await;
    assert!(one::<i64>(&pool, "select taskq.prune_gates(5000)").await > 0);
    assert_eq!(
        one::<i64>(&pool, "select count(*) from taskq.gate").await,
        0
    );
}

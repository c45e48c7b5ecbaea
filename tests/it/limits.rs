//! How many tasks run at once, over all workers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::{PgConnection, PgPool};
use taskq::operate::{Bound, EachKey, Queue, TaskType};
use taskq::unique::{OnConflict, Unique};
use taskq::{OperateError, Worker, task};
use tokio::time::{Instant, sleep};

use crate::support::{database, drain, execute, isolated, one, until, while_working, worker};

/// Counts what runs at the same time, and remembers the most there was, by key.
#[derive(Default)]
struct Meter(Mutex<BTreeMap<i64, (usize, usize)>>);

impl Meter {
    async fn run(&self, key: i64, time: Duration) {
        {
            let mut running = self.0.lock().expect("no panic");
            let (now, most) = running.entry(key).or_default();
            *now += 1;
            *most = (*most).max(*now);
        }
        sleep(time).await;
        self.0.lock().expect("no panic").entry(key).or_default().0 -= 1;
    }

    fn most(&self, key: i64) -> usize {
        self.0
            .lock()
            .expect("no panic")
            .get(&key)
            .map_or(0, |it| it.1)
    }

    fn reset(&self) {
        for (now, most) in self.0.lock().expect("no panic").values_mut() {
            *most = *now;
        }
    }

    fn now(&self, key: i64) -> usize {
        self.0
            .lock()
            .expect("no panic")
            .get(&key)
            .map_or(0, |it| it.0)
    }
}

#[task(concurrency = 3)]
async fn three(meter: &Meter, _n: i64) {
    meter.run(0, Duration::from_millis(30)).await;
}

#[task(concurrency(2, key = tenant_id))]
async fn by_tenant(meter: &Meter, tenant_id: i64, _n: i64) {
    meter.run(tenant_id, Duration::from_millis(20)).await;
}

#[task]
async fn plain(meter: &Meter, _n: i64) {
    meter.run(-1, Duration::from_millis(20)).await;
}

#[task(concurrency = 2)]
async fn two_by_transaction(tx: &mut PgConnection, meter: &Meter, n: i64) -> Result<(), String> {
    let _ = tx;
    meter.run(0, Duration::from_millis(20)).await;
    match n % 3 {
        0 => Err("not today".to_owned()),
        _ => Ok(()),
    }
}

#[task(concurrency = 1)]
async fn one_at_a_time(starts: &Mutex<Vec<(Instant, Instant)>>, _n: i64) {
    let began = Instant::now();
    sleep(Duration::from_millis(20)).await;
    starts
        .lock()
        .expect("no panic")
        .push((began, Instant::now()));
}

const WAITING: &str = "select count(*) from taskq.task";
const LEFT: &str = "select count(*) from taskq.tasks where state in ('waiting', 'running')";

async fn enqueue(pool: &PgPool, sql: &'static str) {
    execute(pool, sql).await;
}

#[tokio::test]
async fn no_more_than_the_limit_of_a_type_run_at_once_in_two_workers() {
    let (_database, pool) = database().await;
    let meter = Arc::new(Meter::default());
    enqueue(&pool, "insert into taskq.task (task_type, payload) select 'three', jsonb_build_object('n', n) from generate_series(1, 60) as n").await;
    let one_worker = || {
        worker(&pool)
            .only::<(Three, Plain)>()
            .state_arc(meter.clone())
    };
    while_working(one_worker(), drain(one_worker(), &pool)).await;
    assert_eq!(meter.most(0), 3);
}

#[tokio::test]
async fn each_key_has_the_limit_by_itself() {
    let (_database, pool) = database().await;
    let meter = Arc::new(Meter::default());
    let mut db = pool.acquire().await.expect("a connection");
    for tenant_id in 1..=5 {
        let tasks = (0..20).map(|n| ByTenant { tenant_id, n });
        taskq::enqueue_many(&mut db, tasks).await.expect("enqueued");
    }
    let one_worker = || worker(&pool).only::<(ByTenant,)>().state_arc(meter.clone());
    while_working(one_worker(), drain(one_worker(), &pool)).await;
    for tenant_id in 1..=5 {
        assert_eq!(meter.most(tenant_id), 2, "tenant {tenant_id}");
    }
}

#[tokio::test]
async fn an_operator_limits_what_waits_already_and_takes_it_back() {
    let (_database, pool) = database().await;
    let meter = Arc::new(Meter::default());
    enqueue(&pool, "insert into taskq.task (task_type, payload) select 'plain', jsonb_build_object('n', n) from generate_series(1, 400) as n").await;
    while_working(
        worker(&pool).only::<(Plain,)>().state_arc(meter.clone()),
        async {
            until("some run", async || meter.now(-1) > 5).await;
            execute(
                &pool,
                "select taskq.limit_concurrency('queue', 'default', 2, 'a test')",
            )
            .await;
            // What was about to start when the worker heard of it starts.
            sleep(Duration::from_millis(200)).await;
            until("it drains", async || meter.now(-1) <= 2).await;
            meter.reset();
            sleep(Duration::from_millis(300)).await;
            assert!(meter.most(-1) <= 2, "{}", meter.most(-1));
            execute(
                &pool,
                "select taskq.limit_concurrency('queue', 'default', 0)",
            )
            .await;
            until("nothing runs", async || meter.now(-1) == 0).await;
            sleep(Duration::from_millis(100)).await;
            assert_eq!(meter.now(-1), 0);
            execute(&pool, "select taskq.reset_limits('queue', 'default')").await;
            until("many run", async || meter.now(-1) > 5).await;
            until("all have ended", async || {
                one::<i64>(&pool, "select count(*) from taskq.tasks").await == 0
            })
            .await;
        },
    )
    .await;
}

#[tokio::test]
async fn a_limit_holds_for_handlers_with_a_transaction_and_for_failures() {
    let (_database, pool) = database().await;
    let meter = Arc::new(Meter::default());
    enqueue(&pool, "insert into taskq.task (task_type, payload, max_attempts) select 'two_by_transaction', jsonb_build_object('n', n), 1 from generate_series(1, 30) as n").await;
    let one_worker = || {
        worker(&pool)
            .only::<(TwoByTransaction,)>()
            .state_arc(meter.clone())
    };
    while_working(one_worker(), drain(one_worker(), &pool)).await;
    assert_eq!(meter.most(0), 2);
    assert_eq!(
        one::<i64>(&pool, "select count(*) from taskq.dead").await,
        10
    );
}

#[tokio::test]
async fn the_next_task_starts_as_soon_as_the_last_has_ended_though_nobody_polls() {
    let (_database, pool) = database().await;
    let starts = Arc::new(Mutex::new(Vec::<(Instant, Instant)>::new()));
    enqueue(&pool, "insert into taskq.task (task_type, payload) select 'one_at_a_time', jsonb_build_object('n', n) from generate_series(1, 40) as n").await;
    let one_worker = || {
        let worker = worker(&pool).only::<(OneAtATime,)>();
        worker
            .poll_interval(Duration::from_secs(60))
            .state_arc(starts.clone())
    };
    while_working(one_worker(), drain(one_worker(), &pool)).await;
    let mut runs = starts.lock().expect("no panic").clone();
    runs.sort();
    let mut waits: Vec<_> = runs.windows(2).map(|pair| pair[1].0 - pair[0].1).collect();
    waits.sort();
    assert!(
        waits[waits.len() / 2] < Duration::from_millis(50),
        "{waits:?}"
    );
    assert!(
        waits[waits.len() * 9 / 10] < Duration::from_millis(200),
        "{waits:?}"
    );
}

#[tokio::test]
async fn a_task_that_is_rescued_runs_no_more_and_is_rescued_at_a_full_limit() {
    let (_database, pool) = database().await;
    let starts = Arc::new(Mutex::new(Vec::<(Instant, Instant)>::new()));
    enqueue(&pool, "insert into taskq.task (task_type, payload) select 'one_at_a_time', jsonb_build_object('n', n) from generate_series(1, 2) as n").await;
    execute(
        &pool,
        "select taskq.limit_concurrency('task_type', 'one_at_a_time', 1)",
    )
    .await;
    let claim = "select count(lease_id) from taskq.claim_limited(gen_random_uuid(), 1, 'default',
        array['one_at_a_time'], 'one_at_a_time', 0::smallint, 0, 0::smallint, 10, 10, null, array[null::timestamptz], array[0::bigint], array[10], false, false)";
    assert_eq!(one::<i64>(&pool, claim).await, 1);
    assert_eq!(
        one::<i64>(&pool, claim).await,
        0,
        "its worker has vanished, and the limit is full"
    );
    let worker = worker(&pool)
        .only::<(OneAtATime,)>()
        .state_arc(starts.clone());
    drain(worker.lease(Duration::from_secs(1)), &pool).await;
    assert_eq!(starts.lock().expect("no panic").len(), 2);
}

#[tokio::test]
async fn what_was_claimed_before_there_was_a_limit_counts() {
    let (_database, pool) = database().await;
    let meter = Arc::new(Meter::default());
    enqueue(&pool, "insert into taskq.task (task_type, payload) select 'plain', jsonb_build_object('n', n) from generate_series(1, 10) as n").await;
    // As a claim without limits does it.
    execute(
        &pool,
        "with task as (delete from taskq.task where task_id <= 2 returning *)
         insert into taskq.lease (lease_id, worker_id, queue, expires_at, task_ids, task_types, payload_versions, payloads,
             priorities, run_ats, created_ats, max_attempts, attempts, crashes, errors)
         select gen_random_uuid(), gen_random_uuid(), 'default', now() + interval '1 hour', array_agg(task_id),
             array_agg(task_type), array_agg(payload_version), array_agg(payload), array_agg(priority), array_agg(run_at),
             array_agg(created_at), array_agg(max_attempts), array_agg(attempts), array_agg(crashes), array_agg(errors)
         from task",
    )
    .await;
    let operator = taskq::operate(&pool).as_user("ada");
    operator
        .limit(TaskType("plain"))
        .concurrency(2)
        .await
        .expect("limited");
    while_working(
        worker(&pool).only::<(Plain,)>().state_arc(meter.clone()),
        async {
            sleep(Duration::from_millis(300)).await;
            assert_eq!(meter.most(-1), 0);
            operator
                .limit(TaskType("plain"))
                .concurrency(3)
                .await
                .expect("limited");
            until("the others ran", async || {
                one::<i64>(&pool, WAITING).await == 0
            })
            .await;
            assert_eq!(meter.most(-1), 1);
        },
    )
    .await;
}

#[tokio::test]
async fn tasks_have_keys_however_they_came() {
    let (_database, pool) = database().await;
    let meter = Arc::new(Meter::default());
    // From before there was a limit.
    enqueue(&pool, r#"insert into taskq.task (task_type, payload) select 'by_tenant', '{"tenant_id": 1, "n": 1}' from generate_series(1, 10)"#).await;
    let keyless = "select count(*) from taskq.task where key is null";
    assert_eq!(one::<i64>(&pool, keyless).await, 10);
    let one_worker = || worker(&pool).only::<(ByTenant,)>().state_arc(meter.clone());
    one_worker().build().await.expect("it declares its limits");
    enqueue(&pool, r#"insert into taskq.task (task_type, payload) select 'by_tenant', '{"tenant_id": 1.0, "n": 1}' from generate_series(1, 10)"#).await;
    enqueue(&pool, r#"select taskq.enqueue('by_tenant', '{"tenant_id": 1, "n": 1}') from generate_series(1, 10)"#).await;
    let mut db = pool.acquire().await.expect("a connection");
    ByTenant::enqueue(&mut db, 1, 1).await.expect("enqueued");
    let copied = (0..10).map(|n| ByTenant { tenant_id: 1, n });
    taskq::enqueue_copy(&mut db, copied).await.expect("copied");
    assert_eq!(one::<i64>(&pool, keyless).await, 10);
    let keys = "select count(distinct key) from taskq.task";
    assert_eq!(one::<i64>(&pool, keys).await, 1, "1 is 1.0");
    while_working(one_worker(), drain(one_worker(), &pool)).await;
    assert_eq!(meter.most(1), 2);
    // A waiting task that is replaced has the key of its new payload.
    for tenant_id in [7, 8] {
        let enqueue = ByTenant::enqueue(&mut db, tenant_id, 1).unique_key("one");
        let replace = Unique::new().on_conflict(OnConflict::Replace);
        enqueue.unique(replace).await.expect("enqueued");
    }
    let key = "select (key::jsonb ->> 'tenant_id')::bigint from taskq.task";
    assert_eq!(one::<i64>(&pool, key).await, 8);
}

#[tokio::test]
async fn a_task_starts_only_if_all_its_limits_let_it() {
    let (_database, pool) = database().await;
    let meter = Arc::new(Meter::default());
    let mut db = pool.acquire().await.expect("a connection");
    for tenant_id in 1..=5 {
        let tasks = (0..20).map(|n| ByTenant { tenant_id, n });
        taskq::enqueue_many(&mut db, tasks).await.expect("enqueued");
    }
    let operator = taskq::operate(&pool).as_user("ada");
    operator
        .limit(Queue("default"))
        .concurrency(5)
        .await
        .expect("limited");
    operator
        .limit(TaskType("by_tenant"))
        .concurrency(4)
        .await
        .expect("limited");
    let running = Arc::new(Mutex::new(0_i64));
    let one_worker = || worker(&pool).only::<(ByTenant,)>().state_arc(meter.clone());
    let watch = async {
        while one::<i64>(&pool, LEFT).await > 0 {
            let now = "select coalesce(sum(cardinality(task_ids) - cardinality(done)), 0)::bigint from taskq.lease";
            let now = one::<i64>(&pool, now).await;
            let mut most = running.lock().expect("no panic");
            *most = (*most).max(now);
        }
    };
    while_working(one_worker(), while_working(one_worker(), watch)).await;
    assert_eq!(*running.lock().expect("no panic"), 4);
    for tenant_id in 1..=5 {
        assert!(meter.most(tenant_id) <= 2, "tenant {tenant_id}");
    }
}

#[tokio::test]
async fn an_operators_word_stands_beside_what_is_declared() {
    let (_database, pool) = database().await;
    let operator = taskq::operate(&pool).as_user("ada");
    let refused = operator.limit(EachKey("by_tenant")).concurrency(1).await;
    let Err(OperateError::Refused { message }) = refused else {
        panic!("{refused:?}");
    };
    assert!(message.contains("declares no limit by key"), "{message}");
    let build = async || {
        let worker = worker(&pool).only::<(ByTenant, Three)>();
        worker
            .state(Meter::default())
            .build()
            .await
            .expect("it starts");
    };
    build().await;
    let texts = async || {
        let limits = operator.limits().await.expect("limits");
        limits.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        texts().await,
        [
            "task type three: 3 at once",
            "each key of by_tenant: 2 at once"
        ]
    );
    let former = operator
        .limit(EachKey("by_tenant"))
        .concurrency(0)
        .because("too slow")
        .await;
    let former = former.expect("limited");
    assert_eq!(former[0].in_force, Some(Bound::Concurrency(2)));
    build().await;
    let limits = operator.limits().await.expect("limits");
    assert_eq!(
        limits[1].in_force,
        Some(Bound::Concurrency(0)),
        "a start of a worker leaves it"
    );
    assert_eq!(limits[1].declared, Some(Bound::Concurrency(2)));
    let text = limits[1].to_string();
    assert!(text.contains("declared 2 at once: too slow"), "{text}");
    operator
        .reset_limits(EachKey("by_tenant"))
        .await
        .expect("reset");
    assert_eq!(texts().await[1], "each key of by_tenant: 2 at once");
    // A limit ends when no worker has declared it for long.
    worker(&pool)
        .only::<(Plain,)>()
        .state(Meter::default())
        .build()
        .await
        .expect("it starts");
    assert_eq!(texts().await.len(), 2, "it knows nothing of these types");
    execute(
        &pool,
        "update taskq.limit_definition set declared_until = now() - interval '1 hour' where task_type = 'three'",
    )
    .await;
    execute(&pool, "select taskq.end_undeclared_limits(900)").await;
    assert_eq!(texts().await, ["each key of by_tenant: 2 at once"]);
}

#[tokio::test]
async fn a_limit_holds_whatever_isolation_the_database_defaults_to() {
    let (_database, pool) = database().await;
    let meter = Arc::new(Meter::default());
    enqueue(&pool, "insert into taskq.task (task_type, payload) select 'three', jsonb_build_object('n', n) from generate_series(1, 30) as n").await;
    let isolated = isolated(&pool);
    let one_worker = || {
        let worker = worker(&isolated).only::<(Three,)>();
        worker.state_arc(meter.clone())
    };
    while_working(one_worker(), drain(one_worker(), &pool)).await;
    assert_eq!(meter.most(0), 3);
}

#[task]
async fn slow(_n: i64) {
    sleep(Duration::from_millis(400)).await;
}

#[tokio::test]
async fn a_worker_without_room_wakes_one_that_has_some() {
    let (_database, pool) = database().await;
    let starts = Arc::new(Mutex::new(Vec::<(Instant, Instant)>::new()));
    enqueue(&pool, "insert into taskq.task (task_type, payload) select 'one_at_a_time', jsonb_build_object('n', n) from generate_series(1, 10) as n").await;
    let one_worker = |concurrency| {
        let worker = Worker::builder(pool.clone()).queue("default", concurrency);
        worker
            .poll_interval(Duration::from_secs(60))
            .state_arc(starts.clone())
    };
    // What else it has to do leaves it no room for the next, by chance.
    let busy = one_worker(1).only::<(OneAtATime, Slow)>();
    let idle = one_worker(2).only::<(OneAtATime,)>();
    while_working(idle, while_working(busy, async {
        enqueue(&pool, "insert into taskq.task (task_type, payload) select 'slow', jsonb_build_object('n', n) from generate_series(1, 5) as n").await;
        until("all ran", async || starts.lock().expect("no panic").len() == 10).await;
    }))
    .await;
    let mut runs = starts.lock().expect("no panic").clone();
    runs.sort();
    let waits = runs.windows(2).map(|pair| pair[1].0 - pair[0].1);
    let longest = waits.max().expect("nine");
    assert!(longest < Duration::from_secs(2), "{longest:?}");
}

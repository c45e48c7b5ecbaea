//! Tasks that run one after the other.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::{AssertSqlSafe, PgPool};
use taskq::operate::{EachKey, TaskType};
use taskq::{Attempt, EnqueueError, OperateError, WorkerBuilder, task};
use tokio::time::{Instant, sleep};

use crate::support::{database, drain, execute, one, until, while_working, worker};

/// Of each key, the steps in the order in which they started and ended.
#[derive(Default)]
struct Journal(Mutex<BTreeMap<i64, Vec<(i64, &'static str)>>>);

impl Journal {
    fn write(&self, key: i64, step: i64, what: &'static str) {
        let mut steps = self.0.lock().expect("no panic");
        steps.entry(key).or_default().push((step, what));
    }

    fn of(&self, key: i64) -> Vec<(i64, &'static str)> {
        let steps = self.0.lock().expect("no panic");
        steps.get(&key).cloned().unwrap_or_default()
    }

    fn started(&self, key: i64) -> Vec<i64> {
        let steps = self.of(key).into_iter();
        let starts = steps.filter(|(_, what)| *what == "starts");
        starts.map(|(step, _)| step).collect()
    }
}

/// Step 13 fails at first and step 66 always.
#[task(sequence = order_id, max_attempts = 2)]
async fn ship(
    journal: &Journal,
    attempt: &Attempt,
    order_id: i64,
    step: i64,
) -> Result<(), anyhow::Error> {
    journal.write(order_id, step, "starts");
    sleep(Duration::from_millis(fastrand::u64(0..5))).await;
    journal.write(order_id, step, "ends");
    if step == 66 {
        return Err(taskq::outcome::retry_in(Duration::from_millis(300)).into());
    }
    if step == 13 && attempt.number() == 1 {
        return Err(taskq::outcome::retry_in(Duration::from_secs(3)).into());
    }
    if step == 77 {
        return Err(taskq::outcome::cancel("nobody wants it").into());
    }
    Ok(())
}

#[task(sequence = order_id, on_dead = "skip", max_attempts = 1)]
async fn ship_or_skip(journal: &Journal, order_id: i64, step: i64) -> Result<(), String> {
    journal.write(order_id, step, "starts");
    match step {
        66 => Err("no such address".to_owned()),
        _ => Ok(()),
    }
}

fn worker_of(pool: &PgPool, journal: &Arc<Journal>) -> WorkerBuilder {
    let worker = worker(pool).only::<(Ship, ShipOrSkip)>();
    worker
        .poll_interval(Duration::from_secs(60))
        .state_arc(journal.clone())
}

async fn enqueue(pool: &PgPool, order_id: i64, steps: impl IntoIterator<Item = i64>) {
    let mut db = pool.acquire().await.expect("a connection");
    for step in steps {
        Ship::enqueue(&mut db, order_id, step)
            .await
            .expect("enqueued");
    }
}

async fn run(pool: &PgPool, sql: String) {
    let ran = sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await;
    ran.expect("sql");
}

/// Puts a dead task back, as the guide says.
async fn retry(pool: &PgPool, task_id: i64) {
    run(pool, format!("
        with again as (
            delete from taskq.dead
            where task_id = {task_id}
            returning
                task_id, task_type, payload_version, payload, queue, priority, created_at, max_attempts, errors, metadata
        )
        insert into taskq.task
            (task_id, task_type, payload_version, payload, queue, priority, created_at, max_attempts, errors, metadata)
        overriding system value
        select
            task_id, task_type, payload_version, payload, queue, priority, created_at, max_attempts, errors, metadata
        from again")).await;
}

const DEAD: &str = "select coalesce(max(task_id), 0) from taskq.dead";

#[tokio::test]
async fn tasks_of_a_key_run_one_after_the_other_in_the_order_of_their_enqueueing() {
    let (_database, pool) = database().await;
    let journal = Arc::new(Journal::default());
    for step in 100..130 {
        for order_id in 1..=4 {
            enqueue(&pool, order_id, [step]).await;
        }
    }
    let one_worker = || worker_of(&pool, &journal);
    while_working(one_worker(), drain(one_worker(), &pool)).await;
    let expected: Vec<_> = (100..130)
        .flat_map(|step| [(step, "starts"), (step, "ends")])
        .collect();
    for order_id in 1..=4 {
        assert_eq!(journal.of(order_id), expected, "order {order_id}");
    }
}

#[tokio::test]
async fn a_head_that_waits_for_its_retry_holds_up_its_key_and_no_other() {
    let (_database, pool) = database().await;
    let journal = Arc::new(Journal::default());
    enqueue(&pool, 1, [1, 13, 2, 3]).await;
    enqueue(&pool, 2, 1..=6).await;
    while_working(worker_of(&pool, &journal), async {
        until("the other order is done", async || {
            journal.started(2).len() == 6
        })
        .await;
        assert_eq!(journal.started(1), [1, 13], "it waits for its retry");
        until("the first is", async || journal.started(1).len() == 5).await;
        assert_eq!(journal.started(1), [1, 13, 13, 2, 3]);
    })
    .await;
}

#[tokio::test]
async fn a_head_that_is_due_later_holds_up_its_key_and_starts_when_it_is() {
    let (_database, pool) = database().await;
    let journal = Arc::new(Journal::default());
    let mut db = pool.acquire().await.expect("a connection");
    let later = Ship {
        order_id: 1,
        step: 1,
    };
    taskq::enqueue(&mut db, later)
        .delay(Duration::from_millis(1_500))
        .await
        .expect("enqueued");
    enqueue(&pool, 1, [2, 3]).await;
    enqueue(&pool, 2, [1]).await;
    let began = Instant::now();
    while_working(worker_of(&pool, &journal), async {
        until("another key goes on", async || journal.started(2) == [1]).await;
        assert_eq!(journal.started(1), [0; 0]);
        until("all have run", async || journal.started(1).len() == 3).await;
    })
    .await;
    assert_eq!(journal.started(1), [1, 2, 3]);
    let took = began.elapsed();
    assert!(
        took < Duration::from_secs(4),
        "{took:?}, with a poll a minute"
    );
}

#[tokio::test]
async fn a_dead_task_blocks_its_key_until_somebody_skips_it_and_says_how_many_that_frees() {
    let (_database, pool) = database().await;
    let journal = Arc::new(Journal::default());
    enqueue(&pool, 1, [66, 2, 3]).await;
    enqueue(&pool, 2, [1]).await;
    let operator = taskq::operate(&pool).as_user("ada");
    while_working(worker_of(&pool, &journal), async {
        until("it is dead", async || one::<i64>(&pool, DEAD).await > 0).await;
        let task_id = one::<i64>(&pool, DEAD).await;
        until("another key goes on", async || journal.started(2) == [1]).await;
        sleep(Duration::from_millis(300)).await;
        assert_eq!(journal.started(1), [66, 66], "two attempts, and no further");
        let blocked = operator.blocked().await.expect("blocked");
        assert_eq!(blocked.len(), 1);
        let it = &blocked[0];
        assert_eq!((it.task_id, it.waiting, it.is_kept), (task_id, 2, true));
        assert_eq!((&*it.key, &*it.state), (r#"{"order_id": 1}"#, "discarded"));
        for frees in [None, Some(1)] {
            let skipping = operator.skip_dead(task_id);
            let refused = match frees {
                Some(frees) => skipping.frees(frees).await,
                None => skipping.await,
            };
            let Err(OperateError::Refused { message }) = refused else {
                panic!("{refused:?}");
            };
            assert!(message.starts_with("2 tasks wait behind task"), "{message}");
        }
        operator.skip_dead(task_id).frees(2).await.expect("skipped");
        let began = Instant::now();
        until("it goes on", async || journal.started(1).len() == 4).await;
        assert!(
            began.elapsed() < Duration::from_secs(2),
            "{:?}",
            began.elapsed()
        );
        assert_eq!(journal.started(1), [66, 66, 2, 3]);
        assert_eq!(one::<i64>(&pool, DEAD).await, task_id, "it is kept");
        let again = operator.skip_dead(task_id).frees(9).await;
        assert!(
            matches!(again, Err(OperateError::Refused { .. })),
            "{again:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_dead_task_that_is_retried_runs_before_those_behind_it() {
    let (_database, pool) = database().await;
    let journal = Arc::new(Journal::default());
    enqueue(&pool, 1, [66, 2, 3]).await;
    while_working(worker_of(&pool, &journal), async {
        until("it is dead", async || one::<i64>(&pool, DEAD).await > 0).await;
        let task_id = one::<i64>(&pool, DEAD).await;
        execute(
            &pool,
            r#"update taskq.dead set payload = payload || '{"step": 1}'"#,
        )
        .await;
        retry(&pool, task_id).await;
        until("it goes on", async || journal.started(1).len() == 5).await;
    })
    .await;
    assert_eq!(journal.started(1), [66, 66, 1, 2, 3]);
    let left = "select count(*) from taskq.sequence_block";
    assert_eq!(one::<i64>(&pool, left).await, 0);
}

#[tokio::test]
async fn a_key_stays_blocked_though_its_dead_task_is_pruned() {
    let (_database, pool) = database().await;
    let journal = Arc::new(Journal::default());
    enqueue(&pool, 1, [66, 2]).await;
    let operator = taskq::operate(&pool).as_user("ada");
    while_working(worker_of(&pool, &journal), async {
        until("it is dead", async || one::<i64>(&pool, DEAD).await > 0).await;
        let task_id = one::<i64>(&pool, DEAD).await;
        execute(&pool, "delete from taskq.dead").await;
        enqueue(&pool, 1, [3]).await;
        sleep(Duration::from_millis(500)).await;
        assert_eq!(journal.started(1), [66, 66]);
        let blocked = operator.blocked().await.expect("blocked");
        assert!(
            blocked[0].to_string().contains("and deleted"),
            "{}",
            blocked[0]
        );
        operator.skip_dead(task_id).frees(2).await.expect("skipped");
        until("it goes on", async || journal.started(1).len() == 4).await;
    })
    .await;
    assert_eq!(journal.started(1), [66, 66, 2, 3]);
}

#[tokio::test]
async fn a_task_that_its_handler_cancels_holds_up_nothing() {
    let (_database, pool) = database().await;
    let journal = Arc::new(Journal::default());
    enqueue(&pool, 1, [1, 77, 2]).await;
    drain(worker_of(&pool, &journal), &pool).await;
    assert_eq!(journal.started(1), [1, 77, 2]);
}

#[tokio::test]
async fn a_sequence_that_skips_goes_on_behind_a_dead_task() {
    let (_database, pool) = database().await;
    let journal = Arc::new(Journal::default());
    let mut db = pool.acquire().await.expect("a connection");
    for step in [1, 66, 2, 3] {
        ShipOrSkip::enqueue(&mut db, 1, step)
            .await
            .expect("enqueued");
    }
    drain(worker_of(&pool, &journal), &pool).await;
    assert_eq!(journal.started(1), [1, 66, 2, 3]);
    let blocked = "select count(*) from taskq.blocked";
    assert_eq!(one::<i64>(&pool, blocked).await, 0);
}

#[tokio::test]
async fn a_task_whose_worker_vanished_runs_again_before_those_behind_it() {
    let (_database, pool) = database().await;
    let journal = Arc::new(Journal::default());
    worker_of(&pool, &journal).build().await.expect("it starts");
    enqueue(&pool, 1, [1, 2, 3]).await;
    let claimed: i64 = one(
        &pool,
        "select coalesce(sum(cardinality(task_ids)) filter (where lease_id is not null), 0)
         from taskq.claim_limited(
             gen_random_uuid(), 30, 'default', array['ship'], 'ship', 1::smallint, 0, 0::smallint, 100, 100, null,
             '{null}', '{0}', '{100}', false, false
         )",
    )
    .await;
    assert_eq!(claimed, 1, "the head alone");
    while_working(worker_of(&pool, &journal), async {
        sleep(Duration::from_millis(500)).await;
        assert_eq!(journal.started(1), [0; 0], "its head runs elsewhere");
        execute(
            &pool,
            "update taskq.lease set expires_at = now() - interval '1 minute'",
        )
        .await;
        until("all have run", async || journal.started(1).len() == 3).await;
    })
    .await;
    assert_eq!(journal.started(1), [1, 2, 3]);
}

#[tokio::test]
async fn what_is_enqueued_first_and_committed_last_runs_when_it_is_there() {
    let (_database, pool) = database().await;
    let journal = Arc::new(Journal::default());
    let one_worker = || worker_of(&pool, &journal);
    one_worker().build().await.expect("it starts");
    let mut open = pool.begin().await.expect("a transaction");
    Ship::enqueue(&mut open, 1, 1).await.expect("enqueued");
    // An enqueue of the same key does not wait for the one that is open.
    let began = Instant::now();
    enqueue(&pool, 1, [2, 3]).await;
    assert!(began.elapsed() < Duration::from_secs(1));
    while_working(one_worker(), async {
        until("those that are there run", async || {
            journal.started(1) == [2, 3]
        })
        .await;
        open.commit().await.expect("committed");
        until("so does the first", async || {
            journal.started(1) == [2, 3, 1]
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_better_priority_changes_no_sequence() {
    let (_database, pool) = database().await;
    let journal = Arc::new(Journal::default());
    let mut db = pool.acquire().await.expect("a connection");
    let urgent = Ship {
        order_id: 1,
        step: 9,
    };
    let refused = taskq::enqueue(&mut db, urgent).priority(-5).await;
    let refused = refused.expect_err("refused");
    assert!(
        matches!(
            refused,
            EnqueueError::Option {
                option: "priority",
                ..
            }
        ),
        "{refused:?}"
    );
    assert!(refused.to_string().contains("leave it out"), "{refused}");
    worker_of(&pool, &journal).build().await.expect("it starts");
    // Nobody refuses a bare insert.
    execute(
        &pool,
        r#"insert into taskq.task (task_type, payload, priority)
           select 'ship', jsonb_build_object('order_id', 1, 'step', n), -n from generate_series(1, 5) as n"#,
    )
    .await;
    drain(worker_of(&pool, &journal), &pool).await;
    assert_eq!(journal.started(1), [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn tasks_that_waited_before_there_was_a_sequence_are_in_it() {
    let (_database, pool) = database().await;
    let journal = Arc::new(Journal::default());
    // The oldest has been due for the shortest time.
    execute(
        &pool,
        "insert into taskq.task (task_type, payload, run_at)
         select 'ship', jsonb_build_object('order_id', n % 2000, 'step', 10000 + n), now() - interval '1 second' * n
         from generate_series(1, 6000) as n",
    )
    .await;
    drain(worker_of(&pool, &journal), &pool).await;
    for order_id in 0..2_000 {
        let steps = [10_000, 12_000, 14_000, 16_000].map(|step| step + order_id);
        let steps = match order_id {
            0 => &steps[1..],
            _ => &steps[..3],
        };
        assert_eq!(journal.started(order_id), steps, "order {order_id}");
    }
}

#[tokio::test]
async fn an_operator_may_hold_a_sequence_and_not_widen_it() {
    let (_database, pool) = database().await;
    let journal = Arc::new(Journal::default());
    worker_of(&pool, &journal).build().await.expect("it starts");
    let operator = taskq::operate(&pool).as_user("ada");
    let refused = operator.limit(EachKey("ship")).concurrency(2).await;
    let Err(OperateError::Refused { message }) = refused else {
        panic!("{refused:?}");
    };
    assert!(message.contains("run in sequence"), "{message}");
    operator
        .limit(TaskType("ship"))
        .concurrency(10)
        .await
        .expect("limited");
    operator
        .limit(EachKey("ship"))
        .concurrency(0)
        .await
        .expect("held");
    let shown = operator.limits().await.expect("limits");
    let shown: Vec<_> = shown.iter().map(ToString::to_string).collect();
    assert!(
        shown.contains(&"each key of ship: in sequence, which a dead task blocks".to_owned()),
        "{shown:?}"
    );
    enqueue(&pool, 1, [1, 2]).await;
    while_working(worker_of(&pool, &journal), async {
        sleep(Duration::from_millis(500)).await;
        assert_eq!(journal.started(1), [0; 0]);
        operator.reset_limits(EachKey("ship")).await.expect("reset");
        until("it goes on", async || journal.started(1) == [1, 2]).await;
    })
    .await;
}

#[tokio::test]
async fn a_block_outlives_a_version_that_names_other_fields() {
    mod later {
        use taskq::task;

        #[task(name = "ship", sequence(order_id, step))]
        pub(super) async fn ship(order_id: i64, step: i64) {
            let _ = (order_id, step);
        }
    }
    let (_database, pool) = database().await;
    let journal = Arc::new(Journal::default());
    worker_of(&pool, &journal).build().await.expect("it starts");
    enqueue(&pool, 1, [66, 66]).await;
    while_working(worker_of(&pool, &journal), async {
        until("it is dead", async || one::<i64>(&pool, DEAD).await > 0).await;
    })
    .await;
    let later = worker(&pool).only::<(later::Ship,)>();
    while_working(later, async {
        sleep(Duration::from_millis(500)).await;
    })
    .await;
    let shown: String = one(&pool, "select key || ' ' || waiting from taskq.blocked").await;
    assert_eq!(shown, r#"{"step": 66, "order_id": 1} 1"#);
}

#[tokio::test]
async fn a_key_whose_task_postgres_refuses_to_take_back_waits_for_it() {
    let (_database, pool) = database().await;
    let journal = Arc::new(Journal::default());
    worker_of(&pool, &journal).build().await.expect("it starts");
    enqueue(&pool, 1, [1, 2]).await;
    enqueue(&pool, 2, [1]).await;
    execute(
        &pool,
        r#"with first as (
               delete from taskq.task where task_id = (select min(task_id) from taskq.task) returning *
           )
           insert into taskq.refused
               (task_id, task_type, payload_version, payload, queue, priority, run_at, created_at, attempts, crashes, refusal)
           select task_id, task_type, payload_version, payload, queue, priority, run_at, created_at, attempts, crashes, '{}'
           from first"#,
    )
    .await;
    while_working(worker_of(&pool, &journal), async {
        until("another key goes on", async || journal.started(2) == [1]).await;
        sleep(Duration::from_millis(300)).await;
        assert_eq!(journal.started(1), [0; 0]);
        execute(&pool, "select taskq.take_back(task_id) from taskq.refused").await;
        until("it goes on", async || journal.started(1) == [1, 2]).await;
    })
    .await;
}

//! Tasks of which one at a time may be there.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use sqlx::{Connection, PgPool};
use taskq::unique::{OnConflict, Unique, Until};
use taskq::{EnqueueError, EnqueueOutcome, handler, task};
use tokio::sync::{Barrier, Semaphore};
use tokio::task::JoinSet;

use crate::support::{database, drain, execute, one, until, while_working, worker};

/// Waits at a gate, so that a test can look while it runs.
struct Gate {
    reached: Semaphore,
    opens: Semaphore,
}

impl Gate {
    fn closed() -> Arc<Self> {
        Arc::new(Self {
            reached: Semaphore::new(0),
            opens: Semaphore::new(0),
        })
    }

    async fn pass(&self) {
        self.reached.add_permits(1);
        self.opens.acquire().await.expect("open").forget();
    }

    async fn reached(&self) {
        self.reached.acquire().await.expect("reached").forget();
    }
}

#[task]
async fn digest(gate: &Gate, _usr_id: i64, _text: String) -> Result<(), &'static str> {
    gate.pass().await;
    Ok(())
}

#[task]
async fn fails(_n: i64) -> Result<(), &'static str> {
    Err("not today")
}

#[task]
async fn sum(total: &AtomicI64, n: i64) {
    total.fetch_add(n, Ordering::SeqCst);
}

const WAITING: &str = "select count(*) from taskq.task";
const KEYS: &str = "select count(*) from taskq.unique_key";

fn by_user() -> Unique {
    Unique::new().fields(&["usr_id"])
}

async fn enqueue(pool: &PgPool, unique: Unique, usr_id: i64, text: &str) -> (i64, EnqueueOutcome) {
    let mut db = pool.acquire().await.expect("a connection");
    let enqueued = Digest::enqueue(&mut db, usr_id, text.to_owned()).unique(unique);
    let enqueued = enqueued.await.expect("enqueued");
    (enqueued.task_id, enqueued.outcome)
}

async fn texts(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar("select payload ->> 'text' from taskq.task order by task_id")
        .fetch_all(pool)
        .await
        .expect("texts")
}

#[tokio::test]
async fn a_second_task_of_a_key_is_the_first() {
    use EnqueueOutcome::{Created, Existing};
    let (_database, pool) = database().await;
    let (first, outcome) = enqueue(&pool, by_user(), 1, "a").await;
    assert_eq!(outcome, Created);
    assert_eq!(enqueue(&pool, by_user(), 1, "b").await, (first, Existing));
    let (other, outcome) = enqueue(&pool, by_user(), 2, "a").await;
    assert_eq!((outcome, other > first), (Created, true));
    // By the whole payload it is another.
    assert_eq!(enqueue(&pool, Unique::new(), 1, "b").await.1, Created);
    assert_eq!(texts(&pool).await, ["a", "a", "b"]);

    let mut db = pool.acquire().await.expect("a connection");
    let mut by_key = async |key: &str, usr_id| {
        let enqueue = Digest::enqueue(&mut db, usr_id, String::new()).unique_key(key);
        enqueue.await.expect("enqueued").outcome
    };
    assert_eq!(by_key("k", 8).await, Created);
    assert_eq!(by_key("k", 9).await, Existing);
    // A key that was given is never one by a payload.
    assert_eq!(by_key(r#"{"usr_id": 1}"#, 1).await, Created);
    let long = "k".repeat(100_000);
    assert_eq!(by_key(&long, 1).await, Created);
    assert_eq!(by_key(&long, 1).await, Existing);
}

#[tokio::test]
async fn a_rollback_gives_the_key_back() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let mut tx = db.begin().await.expect("a transaction");
    let first = Sum::enqueue(&mut tx, 1)
        .unique(Unique::new())
        .await
        .expect("enqueued");
    let again = Sum::enqueue(&mut tx, 1)
        .unique(Unique::new())
        .await
        .expect("enqueued");
    assert_eq!(
        (again.task_id, again.outcome),
        (first.task_id, EnqueueOutcome::Existing)
    );
    tx.rollback().await.expect("rolled back");
    let next = Sum::enqueue(&mut db, 1)
        .unique(Unique::new())
        .await
        .expect("enqueued");
    assert_eq!(next.outcome, EnqueueOutcome::Created);
    assert_eq!(one::<i64>(&pool, WAITING).await, 1);
}

#[tokio::test]
async fn a_task_has_its_key_while_it_runs_and_between_attempts_and_no_longer() {
    use EnqueueOutcome::{Created, Existing};
    let (_database, pool) = database().await;
    let gate = Gate::closed();
    let (first, _) = enqueue(&pool, by_user(), 1, "a").await;
    let mut db = pool.acquire().await.expect("a connection");
    let failing = Fails::enqueue(&mut db, 1)
        .unique(Unique::new())
        .await
        .expect("enqueued");
    while_working(
        worker(&pool)
            .only::<(Digest, Fails)>()
            .state_arc(gate.clone()),
        async {
            gate.reached().await;
            assert_eq!(enqueue(&pool, by_user(), 1, "b").await, (first, Existing));
            let started = by_user().until(Until::Started);
            // It is the task that has the key whose word counts.
            assert_eq!(enqueue(&pool, started, 1, "b").await, (first, Existing));
            until("it failed", async || {
                one::<i64>(&pool, "select count(*) from taskq.task where attempts = 1").await == 1
            })
            .await;
            let again = Fails::enqueue(&mut db, 1)
                .unique(Unique::new())
                .await
                .expect("enqueued");
            assert_eq!((again.task_id, again.outcome), (failing.task_id, Existing));
            gate.opens.add_permits(1);
            until("it ended", async || {
                one::<i64>(&pool, "select count(*) from taskq.lease").await == 0
            })
            .await;
            let (second, outcome) = enqueue(&pool, by_user(), 1, "c").await;
            assert_eq!((outcome, second > first), (Created, true));
            gate.opens.add_permits(1);
        },
    )
    .await;
}

#[tokio::test]
async fn a_key_until_the_start_is_free_while_its_task_runs() {
    use EnqueueOutcome::{Created, Existing};
    let (_database, pool) = database().await;
    let gate = Gate::closed();
    let started = by_user().until(Until::Started);
    let (first, _) = enqueue(&pool, started, 1, "a").await;
    assert_eq!(enqueue(&pool, started, 1, "b").await, (first, Existing));
    while_working(
        worker(&pool).only::<(Digest,)>().state_arc(gate.clone()),
        async {
            gate.reached().await;
            let (second, outcome) = enqueue(&pool, started, 1, "c").await;
            assert_eq!(outcome, Created);
            assert!(second > first);
            gate.opens.add_permits(2);
            until("both ran", async || one::<i64>(&pool, WAITING).await == 0).await;
        },
    )
    .await;
}

#[tokio::test]
async fn a_key_for_a_time_outlives_its_task_and_ends() {
    use EnqueueOutcome::{Created, Existing};
    let (_database, pool) = database().await;
    let within = Unique::new().until(Until::Within(Duration::from_secs(3_600)));
    let total = Arc::new(AtomicI64::new(0));
    let mut db = pool.acquire().await.expect("a connection");
    let first = Sum::enqueue(&mut db, 1)
        .unique(within)
        .await
        .expect("enqueued");
    drain(
        worker(&pool).only::<(Sum,)>().state_arc(total.clone()),
        &pool,
    )
    .await;
    let again = Sum::enqueue(&mut db, 1)
        .unique(within)
        .await
        .expect("enqueued");
    assert_eq!((again.task_id, again.outcome), (first.task_id, Existing));
    execute(
        &pool,
        "update taskq.unique_key set ends_at = ends_at - interval '1 hour' + interval '1 minute'",
    )
    .await;
    let again = Sum::enqueue(&mut db, 1)
        .unique(within)
        .await
        .expect("enqueued");
    assert_eq!(again.outcome, Existing);
    execute(
        &pool,
        "update taskq.unique_key set ends_at = ends_at - interval '1 minute'",
    )
    .await;
    let later = Sum::enqueue(&mut db, 1)
        .unique(within)
        .await
        .expect("enqueued");
    assert_eq!(later.outcome, Created);
}

#[tokio::test]
async fn a_waiting_task_is_replaced_and_a_running_one_is_not() {
    use EnqueueOutcome::{Created, Existing, Replaced};
    let (_database, pool) = database().await;
    let gate = Gate::closed();
    let replace = by_user().on_conflict(OnConflict::Replace);
    let (first, outcome) = enqueue(&pool, replace, 1, "a").await;
    assert_eq!(outcome, Created);
    execute(
        &pool,
        "update taskq.task set attempts = 3, errors = '[{}]', priority = 7",
    )
    .await;
    assert_eq!(enqueue(&pool, replace, 1, "b").await, (first, Replaced));
    assert_eq!(texts(&pool).await, ["b"]);
    let fresh =
        "select count(*) from taskq.task where attempts = 0 and errors is null and priority = 0";
    assert_eq!(one::<i64>(&pool, fresh).await, 1);
    while_working(
        worker(&pool)
            .only::<(Digest, Fails)>()
            .state_arc(gate.clone()),
        async {
            gate.reached().await;
            assert_eq!(enqueue(&pool, replace, 1, "c").await, (first, Existing));
            gate.opens.add_permits(1);
        },
    )
    .await;
}

#[tokio::test]
async fn a_debounced_task_waits_for_quiet_but_not_for_ever() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let due_in = "select extract(epoch from run_at - now())::float8 from taskq.task";
    let second = Duration::from_secs(10);
    let mut debounced = async |n| {
        let enqueue = Sum::enqueue(&mut db, n).unique_key("one").debounce(second);
        enqueue.await.expect("enqueued").outcome
    };
    assert_eq!(debounced(1).await, EnqueueOutcome::Created);
    execute(&pool, "update taskq.task set run_at = run_at - interval '9 seconds', created_at = created_at - interval '9 seconds'").await;
    assert_eq!(debounced(2).await, EnqueueOutcome::Replaced);
    let due: f64 = one(&pool, due_in).await;
    assert!((9.0..=10.0).contains(&due), "put off once more: {due}");
    execute(
        &pool,
        "update taskq.task set created_at = created_at - interval '86 seconds'",
    )
    .await;
    assert_eq!(debounced(3).await, EnqueueOutcome::Replaced);
    let due: f64 = one(&pool, due_in).await;
    assert!(
        (3.0..=5.0).contains(&due),
        "ten times the delay at most: {due}"
    );
    assert_eq!(
        one::<String>(&pool, "select payload ->> 'n' from taskq.task").await,
        "3"
    );
}

#[tokio::test]
async fn an_enqueue_can_fail_because_of_another_task() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let error = Unique::new().on_conflict(OnConflict::Error);
    let first = Sum::enqueue(&mut db, 1)
        .unique(error)
        .await
        .expect("enqueued");
    let refused = Sum::enqueue(&mut db, 1)
        .unique(error)
        .await
        .expect_err("there");
    assert_eq!(
        refused.to_string(),
        format!(
            "task {} of the type `sum` has the key already",
            first.task_id
        )
    );
    let EnqueueError::Duplicate { task_id, .. } = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(task_id, first.task_id);
    let empty = Sum::enqueue(&mut db, 1)
        .unique_key("")
        .await
        .expect_err("empty");
    assert_eq!(empty.to_string(), "`unique_key` must not be empty");
}

#[tokio::test]
async fn sixty_four_who_enqueue_at_once_beside_workers_leave_one_living_task_for_each_key() {
    let (_database, pool) = database().await;
    let total = Arc::new(AtomicI64::new(0));
    let created = Arc::new(AtomicI64::new(0));
    let start = Arc::new(Barrier::new(64));
    let more_than_one = "select count(*) from (select payload from taskq.tasks where state in ('waiting', 'running') group by payload having count(*) > 1) as twice";
    while_working(
        worker(&pool).only::<(Sum,)>().state_arc(total.clone()),
        async {
            let mut clients = JoinSet::new();
            for client in 0..64 {
                let (pool, created, start) = (pool.clone(), created.clone(), start.clone());
                clients.spawn(async move {
                    start.wait().await;
                    for round in 0..20 {
                        let n = (client + round) % 5;
                        let mut db = pool.acquire().await.expect("a connection");
                        let enqueue = Sum::enqueue(&mut db, n).unique(Unique::new());
                        if enqueue.await.expect("enqueued").outcome == EnqueueOutcome::Created {
                            created.fetch_add(n, Ordering::SeqCst);
                        }
                    }
                });
            }
            while let Some(client) = clients.join_next().await {
                client.expect("a client");
                assert_eq!(one::<i64>(&pool, more_than_one).await, 0);
            }
            until("all ran", async || one::<i64>(&pool, WAITING).await == 0).await;
        },
    )
    .await;
    assert_eq!(total.load(Ordering::SeqCst), created.load(Ordering::SeqCst));
}

/// A task type that says itself that it is unique.
struct Note {
    n: i64,
}

impl taskq::Payload for Note {
    const TASK_TYPE: &'static str = "note";
    const OPTIONS: handler::TaskOptions = handler::TaskOptions::new().unique(
        Unique::new()
            .on_conflict(OnConflict::Replace)
            .fields(&["n"]),
    );

    fn encode(&self) -> Result<Box<taskq::json::RawValue>, taskq::error::EncodeError> {
        taskq::json::encode(&serde_json::json!({"n": self.n / 10, "last": self.n % 10}))
    }

    fn decode(
        _raw: &taskq::json::RawValue,
        _version: Option<u16>,
    ) -> Result<Self, taskq::error::DecodeError> {
        Ok(Self { n: 0 })
    }
}

#[tokio::test]
async fn many_at_once_have_their_keys_too_and_those_of_one_call() {
    use EnqueueOutcome::{Created, Replaced};
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let notes = [10, 20, 11, 30, 12].map(|n| Note { n });
    let enqueued = taskq::enqueue_many(&mut db, notes).await.expect("enqueued");
    let outcomes: Vec<_> = enqueued.iter().map(|it| it.outcome).collect();
    assert_eq!(outcomes, [Created, Created, Replaced, Created, Replaced]);
    assert_eq!(enqueued[0].task_id, enqueued[4].task_id);
    let last =
        "select string_agg(payload ->> 'last', ',' order by payload ->> 'n') from taskq.task";
    assert_eq!(one::<String>(&pool, last).await, "2,0,0", "the last wins");
    let copied = taskq::enqueue_copy(&mut db, [13, 40].map(|n| Note { n })).await;
    assert_eq!(copied.expect("copied"), 1, "one was there");
    assert_eq!(one::<String>(&pool, last).await, "3,0,0,0");
}

#[task(unique(fields(n, r#type), until = "started", on_conflict = "replace"))]
async fn declared(
    n: i64,
    #[serde(rename = "kind")] r#type: Option<String>,
    text: String,
    #[serde(default)] _more: bool,
) {
    drop((n, r#type, text));
}

#[task(unique = "payload")]
async fn whole(_n: i64) {}

#[task(unique(within = "1h30m"))]
async fn hourly() {}

#[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
#[taskq(unique(fields(id), on_conflict = "push_back", at_latest = "5m"))]
struct Apart {
    id: i64,
    seen: bool,
}

#[tokio::test]
async fn a_task_type_declares_its_key() {
    use EnqueueOutcome::{Created, Existing, Replaced};
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let mut declare = async |n, kind: Option<&str>, text: &str| {
        let enqueue = Declared::enqueue(&mut db, n, kind.map(str::to_owned), text.to_owned(), true);
        enqueue.await.expect("enqueued").outcome
    };
    assert_eq!(declare(1, Some("a"), "x").await, Created);
    assert_eq!(declare(1, Some("a"), "y").await, Replaced);
    assert_eq!(declare(1, None, "y").await, Created);
    assert_eq!(declare(2, Some("a"), "y").await, Created);
    let key = "select key::text from taskq.unique_key order by key::text desc limit 1";
    assert_eq!(one::<String>(&pool, key).await, r#"{"n": 2, "kind": "a"}"#);
    for outcome in [Created, Existing] {
        assert_eq!(
            Whole::enqueue(&mut db, 1).await.expect("enqueued").outcome,
            outcome
        );
        assert_eq!(
            Hourly::enqueue(&mut db).await.expect("enqueued").outcome,
            outcome
        );
    }
    let hour: f64 = one(&pool, "select extract(epoch from ends_at - now())::float8 from taskq.unique_key where until = 'within'").await;
    assert!((5_300.0..=5_400.0).contains(&hour), "{hour}");
    for (seen, outcome) in [(false, Created), (true, Replaced)] {
        let apart = taskq::enqueue(&mut db, Apart { id: 7, seen });
        assert_eq!(apart.await.expect("enqueued").outcome, outcome);
    }
    assert!(
        one::<bool>(
            &pool,
            "select (payload -> 'seen')::boolean from taskq.task where task_type = 'apart'"
        )
        .await
    );
    // An enqueue has the last word.
    let always = Whole::enqueue(&mut db, 1).unique_key("another");
    assert_eq!(always.await.expect("enqueued").outcome, Created);
}

#[tokio::test]
async fn calls_with_their_keys_in_reverse_never_deadlock() {
    let (_database, pool) = database().await;
    let mut sessions = JoinSet::new();
    for is_reversed in [false, true] {
        let pool = pool.clone();
        sessions.spawn(async move {
            let mut db = pool.acquire().await.expect("a connection");
            for _ in 0..200 {
                let mut notes: Vec<_> = (0..20).map(|n| Note { n: n * 10 }).collect();
                if is_reversed {
                    notes.reverse();
                }
                taskq::enqueue_many(&mut db, notes)
                    .await
                    .expect("no deadlock");
            }
        });
    }
    while let Some(session) = sessions.join_next().await {
        session.expect("a session");
    }
    assert_eq!(one::<i64>(&pool, WAITING).await, 20);
}

#[tokio::test]
async fn keys_of_ended_tasks_are_deleted_and_those_of_living_ones_are_not() {
    let (_database, pool) = database().await;
    let gate = Gate::closed();
    let total = Arc::new(AtomicI64::new(0));
    let mut db = pool.acquire().await.expect("a connection");
    for n in 0..10 {
        Sum::enqueue(&mut db, n)
            .unique(Unique::new())
            .await
            .expect("enqueued");
    }
    let within = Unique::new().until(Until::Within(Duration::from_secs(3_600)));
    Sum::enqueue(&mut db, 10)
        .unique(within)
        .await
        .expect("enqueued");
    enqueue(&pool, by_user(), 1, "a").await;
    let worker = worker(&pool)
        .only::<(Sum, Digest)>()
        .state_arc(gate.clone())
        .state_arc(total.clone());
    while_working(worker, async {
        gate.reached().await;
        until("they ran", async || total.load(Ordering::SeqCst) == 55).await;
        let later = Sum::enqueue(&mut db, 99)
            .unique(Unique::new())
            .delay(Duration::from_secs(3_600));
        later.await.expect("enqueued");
        until("all have ended", async || {
            one::<i64>(
                &pool,
                "select coalesce(sum(cardinality(task_ids) - cardinality(done)), 0)::bigint from taskq.lease",
            )
            .await
                == 1
        })
        .await;
        // The worker may do so too.
        until("they are deleted", async || {
            assert!(one::<i64>(&pool, "select taskq.prune_keys(4)").await <= 4);
            one::<i64>(&pool, KEYS).await <= 3
        })
        .await;
        assert_eq!(one::<i64>(&pool, "select taskq.prune_keys(100)").await, 0);
        let left = one::<i64>(&pool, KEYS).await;
        assert_eq!(left, 3, "one for a time, one that runs, one that waits");
        gate.opens.add_permits(1);
    })
    .await;
}

#[tokio::test]
async fn a_web_role_may_enqueue_unique_tasks_and_still_sees_none() {
    let (_database, pool) = database().await;
    let mut tx = pool.begin().await.expect("a transaction");
    sqlx::raw_sql(include_str!("../../migrations/roles.sql"))
        .execute(&mut *tx)
        .await
        .expect("roles");
    sqlx::raw_sql("set local role taskq_enqueue")
        .execute(&mut *tx)
        .await
        .expect("a role");
    let replace = by_user().on_conflict(OnConflict::Replace);
    for outcome in [EnqueueOutcome::Created, EnqueueOutcome::Replaced] {
        let enqueue = Digest::enqueue(&mut tx, 1, "a".to_owned()).unique(replace);
        assert_eq!(enqueue.await.expect("enqueued").outcome, outcome);
    }
    let seen = sqlx::query("select * from taskq.unique_key")
        .execute(&mut *tx)
        .await;
    assert!(seen.is_err(), "it cannot see who has which key");
}

#[tokio::test]
async fn a_waiting_task_that_is_kept_runs_after_the_commit() {
    let (_database, pool) = database().await;
    let total = Arc::new(AtomicI64::new(0));
    for until_what in [Until::Done, Until::Started] {
        total.store(0, Ordering::SeqCst);
        let unique = Unique::new().until(until_what);
        let mut db = pool.acquire().await.expect("a connection");
        let first = Sum::enqueue(&mut db, 1).unique(unique).await;
        let first = first.expect("enqueued").task_id;
        let mut tx = db.begin().await.expect("a transaction");
        let kept = Sum::enqueue(&mut tx, 1).unique(unique).await;
        let kept = kept.expect("enqueued");
        assert_eq!(
            (kept.task_id, kept.outcome),
            (first, EnqueueOutcome::Existing)
        );
        let other = Sum::enqueue(&mut pool.acquire().await.expect("a connection"), 2).await;
        other.expect("enqueued");
        let working = worker(&pool).only::<(Sum,)>().state_arc(total.clone());
        while_working(working, async {
            until("the other runs", async || total.load(Ordering::SeqCst) >= 2).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert_eq!(total.load(Ordering::SeqCst), 2, "it ran before the commit");
            tx.commit().await.expect("committed");
            until("it runs", async || total.load(Ordering::SeqCst) == 3).await;
        })
        .await;
    }
}

#[tokio::test]
async fn a_task_that_is_replaced_to_run_now_wakes_a_worker() {
    let (_database, pool) = database().await;
    let total = Arc::new(AtomicI64::new(0));
    let working = worker(&pool)
        .only::<(Sum,)>()
        .state_arc(total.clone())
        .poll_interval(Duration::from_secs(600));
    while_working(working, async {
        let mut db = pool.acquire().await.expect("a connection");
        let later = Sum::enqueue(&mut db, 1).unique(Unique::new());
        let later = later.delay(Duration::from_secs(3600)).await;
        later.expect("enqueued");
        until("the worker sleeps", async || {
            one::<bool>(&pool, "select exists (select from taskq.sleeper)").await
        })
        .await;
        // It scans once more when it has gone to sleep.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let unique = Unique::new().on_conflict(OnConflict::Replace);
        let now = Sum::enqueue(&mut db, 1).unique(unique).await;
        assert_eq!(now.expect("enqueued").outcome, EnqueueOutcome::Replaced);
        until("it runs", async || total.load(Ordering::SeqCst) == 1).await;
    })
    .await;
}

#[tokio::test]
async fn a_task_that_a_trigger_drops_is_not_reported_as_enqueued() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "create function drop_it() returns trigger language plpgsql as 'begin return null; end';
         create trigger drop_it before insert on taskq.task for each row execute function drop_it()",
    )
    .await;
    let mut db = pool.acquire().await.expect("a connection");
    let dropped = Sum::enqueue(&mut db, 1).unique(Unique::new()).await;
    dropped.expect_err("there is no task");
    let sql = "select task_id from taskq.enqueue('sum', '{}', '{\"unique\": true}')";
    let error = sqlx::query(sql).execute(&mut *db).await.expect_err("none");
    assert!(
        error.to_string().contains("a trigger has dropped it"),
        "{error}"
    );
    execute(&pool, "drop trigger drop_it on taskq.task").await;
    let there = Sum::enqueue(&mut db, 1).unique(Unique::new()).await;
    assert_eq!(there.expect("enqueued").outcome, EnqueueOutcome::Created);
}

#[tokio::test]
async fn what_an_enqueue_says_of_a_conflict_stands_beside_debounce() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let error = Unique::new().on_conflict(OnConflict::Error);
    let mut debounced = async || {
        let enqueue = Sum::enqueue(&mut db, 1).unique(error);
        enqueue.debounce(Duration::from_secs(5)).await
    };
    debounced().await.expect("the first");
    debounced().await.expect_err("the second");
    let no_fields = Sum::enqueue(&mut db, 1)
        .unique(Unique::new().fields(&[]))
        .await;
    let said = no_fields.expect_err("no key").to_string();
    assert_eq!(
        said,
        "`unique` must name a field, or be of the whole payload: leave `fields` out"
    );
}

//! Schedules: ticking, catching up, overlapping, and what operators say of them.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Timelike, Utc};
use sqlx::{PgPool, query, query_as, query_scalar};
use taskq::operate::{ScheduleStatus, Upserted};
use taskq::schedule::Overlap;
use taskq::{Attempt, Tick, WorkerBuilder, task};
use tokio::sync::{Mutex, Semaphore};

use crate::support::{Log, database, execute, one, until, while_working, worker};

/// What handlers found, in the order of their attempts.
type Found = Mutex<Vec<Tick>>;

#[task(cron = "* * * * * *")]
async fn every_second(found: &Found, attempt: &Attempt) {
    found.lock().await.extend(attempt.tick());
}

#[task]
pub(crate) async fn report(customer: i64) {
    let _ = customer;
}

#[task]
pub(crate) async fn idle() {}

#[task]
async fn waits_at_a_gate(gate: &Semaphore) {
    gate.acquire().await.expect("open").forget();
}

/// A worker that ticks, and runs nothing.
pub(crate) fn ticking(pool: &PgPool) -> WorkerBuilder {
    worker(pool).only::<(Idle,)>()
}

pub(crate) async fn status(pool: &PgPool, name: &str) -> ScheduleStatus {
    let mut db = pool.acquire().await.expect("a connection");
    let all = taskq::schedules(&mut db).list().await.expect("the list");
    all.into_iter()
        .find(|it| it.name == name)
        .expect("it is there")
}

/// Makes it that nothing was taken since a time, as if all workers had been dead.
pub(crate) async fn miss(pool: &PgPool, name: &str, since: DateTime<Utc>) {
    query("update taskq.schedule set owed_after = $2, next_tick = null, revision = revision + 1 where name = $1")
        .bind(name)
        .bind(since)
        .execute(pool)
        .await
        .expect("moved");
}

/// The ticks whose tasks wait, in the order in which they will run.
pub(crate) async fn waiting(pool: &PgPool, name: &str) -> Vec<DateTime<Utc>> {
    query_scalar(
        "select (metadata -> 'schedule.tick' ->> 'at')::timestamptz from taskq.task
         where metadata -> 'schedule.tick' ->> 'schedule' = $1 order by run_at, task_id",
    )
    .bind(name)
    .fetch_all(pool)
    .await
    .expect("the tasks")
}

/// Waits until so many tasks of a schedule wait.
async fn until_waiting(pool: &PgPool, name: &str, count: usize) {
    until("ticked", async || waiting(pool, name).await.len() >= count).await;
}

/// Waits until a schedule has left two ticks out, because a task before them was still there.
async fn until_skipped(pool: &PgPool, name: &str) {
    until("skipped", async || {
        status(pool, name).await.skipped_overlap >= 2
    })
    .await;
}

/// Checks that the tick of each second is there, and once.
fn check_steady(ticks: &[DateTime<Utc>]) {
    for (tick, next) in ticks.iter().zip(&ticks[1..]) {
        assert_eq!(*next - *tick, TimeDelta::seconds(1), "{ticks:?}");
    }
}

/// Waits until nothing of a schedule is due.
pub(crate) async fn until_taken(pool: &PgPool, name: &str) {
    until("taken", async || {
        query_scalar("select next_tick > now() from taskq.schedule where name = $1")
            .bind(name)
            .fetch_one(pool)
            .await
            .map(|taken: Option<bool>| taken == Some(true))
            .expect("the schedule")
    })
    .await;
}

#[tokio::test]
async fn a_declared_schedule_ticks_and_its_handler_knows_the_nominal_time() {
    let (_database, pool) = database().await;
    let found = Arc::new(Found::default());
    let work = worker(&pool)
        .only::<(EverySecond,)>()
        .state_arc(Arc::clone(&found));
    while_working(
        work,
        until("ticked", async || found.lock().await.len() >= 3),
    )
    .await;
    let found = found.lock().await.clone();
    let ticks: Vec<_> = found.iter().map(|tick| tick.at).collect();
    check_steady(&ticks);
    for tick in &found {
        assert_eq!((&*tick.schedule, tick.is_late), ("every_second", false));
        assert_eq!(tick.at.nanosecond(), 0);
    }
}

#[tokio::test]
async fn a_task_that_no_schedule_enqueued_has_no_tick() {
    let attempt = taskq::testing::attempt().build();
    assert_eq!(attempt.tick(), None);
    let at = Utc::now();
    let attempt = taskq::testing::attempt().tick("nightly", at).build();
    let tick = attempt.tick().expect("said");
    assert_eq!((&*tick.schedule, tick.at), ("nightly", at));
}

#[tokio::test]
async fn a_schedule_that_is_made_at_run_time_ticks_with_its_payload_and_options() {
    let (_database, pool) = database().await;
    while_working(ticking(&pool), async {
        let mut db = pool.acquire().await.expect("a connection");
        let mut schedules = taskq::schedules(&mut db).as_user("ada");
        let made = schedules
            .upsert("of 42", "* * * * * *", "UTC", Report { customer: 42 })
            .queue("reports")
            .priority(-3)
            .because("the customer asks");
        assert_eq!(made.await.expect("made"), Upserted::Created);
        // Workers hear of it, and do not wait for their period.
        until_waiting(&pool, "of 42", 2).await;
    })
    .await;
    let task: (String, String, i16, i16, serde_json::Value) = query_as(
        "select task_type, queue, priority, payload_version, payload from taskq.task limit 1",
    )
    .fetch_one(&pool)
    .await
    .expect("a task");
    let payload = serde_json::json!({"customer": 42});
    assert_eq!(task, ("report".into(), "reports".into(), -3, 1, payload));
    let status = status(&pool, "of 42").await;
    assert_eq!(status.made_by.as_deref(), Some("ada"));
    assert_eq!(status.reason.as_deref(), Some("the customer asks"));
    assert!(status.ticks >= 2, "{status}");
    assert!(
        status
            .to_string()
            .starts_with("of 42: * * * * * * UTC, report; next 2"),
        "{status}"
    );
}

#[tokio::test]
async fn each_tick_is_taken_once_by_three_workers_at_once() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    for n in 0..5 {
        let name = format!("s{n}");
        let mut schedules = taskq::schedules(&mut db);
        let made = schedules.upsert(&name, "* * * * * *", "UTC", Report { customer: n });
        made.await.expect("made");
    }
    let (one_more, another) = (ticking(&pool), ticking(&pool));
    while_working(ticking(&pool), async {
        while_working(one_more, async {
            while_working(another, async {
                until_waiting(&pool, "s0", 5).await;
            })
            .await;
        })
        .await;
    })
    .await;
    for n in 0..5 {
        let ticks = waiting(&pool, &format!("s{n}")).await;
        assert!(ticks.len() >= 4, "{ticks:?}");
        check_steady(&ticks);
    }
}

#[tokio::test]
async fn while_the_last_task_is_there_skip_enqueues_none() {
    let (_database, pool) = database().await;
    let gate = Arc::new(Semaphore::new(0));
    let mut db = pool.acquire().await.expect("a connection");
    let mut schedules = taskq::schedules(&mut db);
    let made = schedules
        .upsert("x", "* * * * * *", "UTC", WaitsAtAGate {})
        .overlap(Overlap::Skip);
    made.await.expect("made");
    let work = worker(&pool)
        .only::<(WaitsAtAGate,)>()
        .state_arc(Arc::clone(&gate));
    while_working(work, async {
        until_skipped(&pool, "x").await;
        let first = status(&pool, "x").await;
        assert_eq!(first.ticks, 1, "{first}");
        gate.add_permits(1);
        until("ticked", async || status(&pool, "x").await.ticks == 2).await;
        gate.add_permits(1000);
    })
    .await;
}

#[tokio::test]
async fn with_one_waiting_one_runs_and_one_waits() {
    let (_database, pool) = database().await;
    let gate = Arc::new(Semaphore::new(0));
    let mut db = pool.acquire().await.expect("a connection");
    let mut schedules = taskq::schedules(&mut db);
    let made = schedules
        .upsert("x", "* * * * * *", "UTC", WaitsAtAGate {})
        .overlap(Overlap::OneWaiting);
    made.await.expect("made");
    let work = taskq::Worker::builder(pool.clone())
        .queue("default", 1)
        .only::<(WaitsAtAGate,)>();
    while_working(work.state_arc(Arc::clone(&gate)), async {
        until_skipped(&pool, "x").await;
        let living = "select count(*) from taskq.tasks where state in ('waiting', 'running')";
        assert_eq!(one::<i64>(&pool, living).await, 2);
        // With each that ends there is room for one more.
        gate.add_permits(1);
        until("ticked", async || status(&pool, "x").await.ticks == 3).await;
        assert_eq!(one::<i64>(&pool, living).await, 2);
        gate.add_permits(1000);
    })
    .await;
}

#[tokio::test]
async fn rubbish_keeps_no_other_schedule_from_ticking() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "create function refuse() returns trigger language plpgsql as $$
         begin raise exception 'not today'; end $$;
         create trigger refuse before insert on taskq.task
         for each row when (new.task_type = 'refused') execute function refuse();
         select taskq.upsert_schedule('a rubbish', 'whenever', 'idle');
         select taskq.upsert_schedule('b nowhere', '* * * * * *', 'idle', timezone => 'Mars/Base');
         select taskq.upsert_schedule('c refused', '* * * * * *', 'refused');
         select taskq.upsert_schedule('d wrong', '* * * * * *', 'report', options => '{\"unique_fields\": []}');
         select taskq.upsert_schedule('e healthy', '* * * * * *', 'report', '{\"customer\": 1}');",
    )
    .await;
    let log = Log::capture();
    while_working(ticking(&pool), async {
        until_waiting(&pool, "e healthy", 3).await;
        for (name, error) in [
            ("a rubbish", "`whenever` has 1 field"),
            ("b nowhere", "knows no time zone `Mars/Base`"),
            ("c refused", "not today"),
            ("d wrong", "must name fields of the payload"),
        ] {
            let said = async || status(&pool, name).await.error.unwrap_or_default();
            until(name, async || said().await.contains(error)).await;
            assert_eq!(status(&pool, name).await.ticks, 0);
            assert!(log.has(&format!("schedule=\"{name}\"")), "{}", log.text());
        }
        // Mended, it ticks at once, and the error is gone.
        execute(
            &pool,
            "select taskq.upsert_schedule('a rubbish', '* * * * * *', 'report')",
        )
        .await;
        until("mended", async || {
            status(&pool, "a rubbish").await.ticks > 0
        })
        .await;
        assert_eq!(status(&pool, "a rubbish").await.error, None);
        assert_eq!(status(&pool, "e healthy").await.error, None);
    })
    .await;
    check_steady(&waiting(&pool, "e healthy").await);
}

#[tokio::test]
async fn a_thousand_rubbish_rows_starve_no_schedule() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "select count(taskq.upsert_schedule('a' || n, 'whenever', 'idle')) from generate_series(1, 1000) as n;
         select taskq.upsert_schedule('healthy', '* * * * * *', 'report')",
    )
    .await;
    while_working(ticking(&pool), async {
        until_waiting(&pool, "healthy", 2).await;
    })
    .await;
}

#[tokio::test]
async fn a_tick_of_a_type_of_which_one_at_a_time_may_be_there_obeys_that() {
    let (_database, pool) = database().await;
    #[task(unique = "payload")]
    async fn of_one() {}
    let mut db = pool.acquire().await.expect("a connection");
    let mut schedules = taskq::schedules(&mut db);
    schedules
        .upsert("x", "* * * * * *", "UTC", OfOne {})
        .await
        .expect("made");
    while_working(ticking(&pool), async {
        until_skipped(&pool, "x").await;
    })
    .await;
    assert_eq!(
        one::<i64>(&pool, "select count(*) from taskq.task").await,
        1
    );
    assert_eq!(status(&pool, "x").await.ticks, 1);
}

#[tokio::test]
async fn a_task_of_a_tick_expires_as_its_type_says_from_when_it_is_due() {
    let (_database, pool) = database().await;
    #[task(expires = "1h")]
    async fn login_code() {}
    let mut db = pool.acquire().await.expect("a connection");
    let mut schedules = taskq::schedules(&mut db);
    let made = schedules.upsert("x", "0 0 1 1 *", "UTC", LoginCode {});
    made.await.expect("made");
    schedules.run_now("x").await.expect("run");
    let expires = "select (metadata ->> 'task.expires')::float8 from taskq.task";
    let expires: f64 = one(&pool, expires).await;
    assert!((3599.0..3601.0).contains(&expires), "{expires}");
}

#[tokio::test]
async fn a_worker_of_another_schema_ticks_there_alone() {
    let (_database, pool) = database().await;
    let other = taskq::Schema::named("other_tasks").expect("a name");
    other.migrate(&pool).await.expect("migrated");
    let mut db = pool.acquire().await.expect("a connection");
    let mut schedules = taskq::schedules(&mut db).schema(other);
    schedules
        .upsert("x", "* * * * * *", "UTC", Report { customer: 1 })
        .await
        .expect("made");
    while_working(ticking(&pool).schema(other), async {
        until("ticked", async || {
            one::<i64>(&pool, "select count(*) from other_tasks.task").await >= 2
        })
        .await;
    })
    .await;
    assert_eq!(
        one::<i64>(&pool, "select count(*) from taskq.schedule").await,
        0
    );
}

/// What compiles is what runs.
#[test]
fn the_macro_and_the_library_read_expressions_by_one_parser() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for file in ["expression.rs", "expression/field.rs"] {
        let read = |folder: &str| fs::read_to_string(root.join(folder).join(file)).expect(file);
        assert!(
            read("taskq/src/calendar") == read("taskq-macros/src"),
            "{file}"
        );
    }
}

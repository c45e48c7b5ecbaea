//! What the types give: the handler stays a function, its arguments are found by their shape, and any
//! error comes through.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use sqlx::{PgConnection, PgPool};
use taskq::handler::{Task, TaskSet};
use taskq::{Attempt, Payload, task};

use crate::support::{database, drain, one, states, worker};

trait Mailer: Send + Sync {
    fn send(&self, to: &str);
}

#[derive(Default)]
struct FakeMailer(AtomicUsize);

impl Mailer for FakeMailer {
    fn send(&self, _to: &str) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[task(queue = "mail")]
async fn greet(
    tx: &mut PgConnection,
    mailer: &dyn Mailer,
    #[inject] sent: Arc<AtomicUsize>,
    #[inject] shared: Arc<Attempt>,
    attempt: &Attempt,
    name: String,
    #[serde(default)] loud: bool,
) -> anyhow::Result<()> {
    assert_eq!(shared.task_id(), attempt.task_id());
    let _ = loud;
    sqlx::query("select 1").execute(tx).await?;
    mailer.send(&name);
    sent.fetch_add(1, Ordering::SeqCst);
    Ok(())
}

#[tokio::test]
async fn each_argument_is_found_by_its_shape() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    Greet::enqueue(&mut db, "Ada".into(), true)
        .await
        .expect("enqueued");
    crate::support::execute(
        &pool,
        r#"insert into taskq.task (task_type, payload) values ('greet', '{"name": "Grace"}')"#,
    )
    .await;
    let (mailer, sent) = (
        Arc::new(FakeMailer::default()),
        Arc::new(AtomicUsize::new(0)),
    );
    let worker = worker(&pool)
        .queue("mail", 2)
        .only::<(Greet,)>()
        .state_arc::<dyn Mailer>(mailer.clone())
        .state_arc(sent.clone());
    drain(worker, &pool).await;
    assert_eq!(
        (mailer.0.load(Ordering::SeqCst), sent.load(Ordering::SeqCst)),
        (2, 2)
    );
}

#[tokio::test]
async fn a_handler_borrows_the_pool_of_its_worker_unless_another_is_given() {
    #[task]
    async fn sizes(pool: &PgPool, found: &Mutex<Vec<u32>>) {
        let found = &mut *found.lock().expect("not poisoned");
        found.push(pool.options().get_max_connections());
    }

    let (database, pool) = database().await;
    let found = Arc::new(Mutex::new(Vec::<u32>::new()));
    let mut db = pool.acquire().await.expect("a connection");
    let sized = || {
        worker(&database.pool_of(17))
            .only::<(Sizes,)>()
            .state_arc(found.clone())
    };
    Sizes::enqueue(&mut db).await.expect("enqueued");
    drain(sized(), &pool).await;
    Sizes::enqueue(&mut db).await.expect("enqueued");
    drain(sized().state(database.pool_of(3)), &pool).await;
    assert_eq!(*found.lock().expect("not poisoned"), [17, 3]);
}

#[tokio::test]
async fn an_attempt_says_of_which_type_its_task_is_and_in_which_queue() {
    #[task(name = "mail.places", alias = "old_places", queue = "mail")]
    async fn places(attempt: &Attempt, found: &Mutex<BTreeSet<(String, String)>>) {
        let place = (attempt.task_type().into(), attempt.queue().into());
        found.lock().expect("not poisoned").insert(place);
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    Places::enqueue(&mut db).await.expect("enqueued");
    let elsewhere = taskq::enqueue(&mut db, Places {}).queue("default");
    elsewhere.await.expect("enqueued");
    let old = "insert into taskq.task (task_type) values ('old_places')";
    crate::support::execute(&pool, old).await;
    let found = Arc::new(Mutex::new(BTreeSet::<(String, String)>::new()));
    let worker = taskq::Worker::builder(pool.clone())
        .only::<(Places,)>()
        .state_arc(found.clone());
    drain(worker, &pool).await;
    let place = |queue: &str| ("mail.places".to_owned(), queue.to_owned());
    assert_eq!(
        *found.lock().expect("not poisoned"),
        BTreeSet::from([place("default"), place("mail")])
    );
}

#[tokio::test]
async fn a_handler_is_still_a_function() {
    #[task]
    async fn add(tx: &mut PgConnection, a: i64, b: i64) -> sqlx::Result<i64> {
        sqlx::query_scalar("select $1 + $2")
            .bind(a)
            .bind(b)
            .fetch_one(tx)
            .await
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    assert_eq!(add(&mut db, 2, 3).await.expect("added"), 5);
}

#[tokio::test]
async fn a_test_makes_the_attempt_and_the_transaction_that_a_handler_asks_for() {
    #[task]
    async fn careful(tx: &mut taskq::Tx, attempt: &Attempt, n: i64) -> Result<String, String> {
        let sum = sqlx::query_scalar("select $1 + 1").bind(n);
        let sum: i64 = sum
            .fetch_one(&mut **tx)
            .await
            .map_err(|it| it.to_string())?;
        let earlier = attempt.previous_errors().last();
        let earlier = earlier.map_or("nothing", |it| it.error.as_str());
        if attempt.is_cancelled() || attempt.is_last() {
            return Err(format!("gave up after {earlier}"));
        }
        let tenant = attempt.metadata("tenant").and_then(|it| it.as_str());
        Ok(format!(
            "{sum} {} {} {} {}",
            attempt.task_id(),
            attempt.task_type(),
            attempt.queue(),
            tenant.unwrap_or("none")
        ))
    }

    let (_database, pool) = database().await;
    let mut tx = taskq::testing::tx(&pool).await.expect("begun");
    let mut call =
        async |attempt: taskq::testing::AttemptBuilder| careful(&mut tx, &attempt.build(), 1).await;
    let plain = taskq::testing::attempt;
    assert_eq!(call(plain()).await.as_deref(), Ok("2 1 test default none"));
    let told = plain()
        .task_id(7)
        .task_type("careful")
        .queue("mail")
        .metadata("tenant", "ada");
    assert_eq!(call(told).await.as_deref(), Ok("2 7 careful mail ada"));
    let last = plain().number(3).max_attempts(3).failed("a").failed("b");
    assert_eq!(call(last).await.expect_err("the last"), "gave up after b");
    let cancelled = call(plain().cancelled()).await;
    assert_eq!(cancelled.expect_err("stopping"), "gave up after nothing");
}

#[test]
fn the_type_says_what_the_attribute_said() {
    #[task(name = "NIGHTLY", queue = "slow", priority = -2, max_attempts = 9, payload = NightlyExport, derive(Debug, Clone, PartialEq))]
    async fn export(day: u32) {
        let _ = day;
    }

    let _ = export;
    assert_eq!(NightlyExport::TASK_TYPE, "NIGHTLY");
    assert_eq!(
        (
            NightlyExport::OPTIONS.queue,
            NightlyExport::OPTIONS.priority,
            NightlyExport::OPTIONS.max_attempts
        ),
        ("slow", -2, 9)
    );
    assert_eq!(NightlyExport { day: 1 }.clone(), NightlyExport { day: 1 });
    fn is_task<T: Task>() {}
    is_task::<NightlyExport>();
    fn is_set<S: TaskSet>() {}
    is_set::<(NightlyExport, Greet)>();
}

#[derive(Debug, thiserror::Error)]
#[error("it failed")]
struct Failure;

macro_rules! failing {
    ($($name:ident -> $error:ty = $value:expr;)+) => {
        $(#[task(max_attempts = 1)]
        async fn $name() -> Result<(), $error> {
            Err($value)?
        })+
    };
}

failing! {
    fails_anyhow -> anyhow::Error = anyhow::anyhow!(Failure);
    fails_boxed -> taskq::error::BoxError = Box::new(Failure);
    fails_thiserror -> Failure = Failure;
    fails_string -> String = "it failed".to_owned();
    fails_str -> &'static str = "it failed";
    fails_std -> fmt::Error = fmt::Error;
    fails_control -> taskq::outcome::Decision = taskq::outcome::discard("it failed");
}

#[tokio::test]
async fn any_error_that_can_be_boxed_is_recorded() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    FailsAnyhow::enqueue(&mut db).await.expect("enqueued");
    FailsBoxed::enqueue(&mut db).await.expect("enqueued");
    FailsThiserror::enqueue(&mut db).await.expect("enqueued");
    FailsString::enqueue(&mut db).await.expect("enqueued");
    FailsStr::enqueue(&mut db).await.expect("enqueued");
    FailsStd::enqueue(&mut db).await.expect("enqueued");
    FailsControl::enqueue(&mut db).await.expect("enqueued");
    let worker = worker(&pool).only::<(
        FailsAnyhow,
        FailsBoxed,
        FailsThiserror,
        FailsString,
        FailsStr,
        FailsStd,
        FailsControl,
    )>();
    drain(worker, &pool).await;
    assert_eq!(states(&pool).await["discarded"], 7);
    let with_text: i64 = one(
        &pool,
        "select count(*) from taskq.dead where errors -> 0 ->> 'error' in ('it failed', 'discarded: it failed')",
    )
    .await;
    assert_eq!(with_text, 6);
}

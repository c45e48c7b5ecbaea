//! Each way to wait, after each way to fail.

use std::error::Error;
use std::ops::RangeInclusive;
use std::time::Duration;

use sqlx::{PgConnection, PgPool, query, query_as};
use taskq::error::{Panicked, TimedOut};
use taskq::task;

use crate::support::{Log, database, execute, one, until, while_working, worker};

/// Ends an attempt in the way that the payload says.
async fn end(way: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
    let hour = Duration::from_secs(3600);
    match way {
        "error" => Err("no")?,
        "panic" => panic!("out of luck"),
        "timeout" => std::future::pending().await,
        "retry_in" => Err(taskq::outcome::retry_in(hour))?,
        "snooze" => Err(taskq::outcome::snooze(hour))?,
        "discard" => Err(taskq::outcome::discard("gone"))?,
        "cancel" => Err(taskq::outcome::cancel("unwanted"))?,
        other => Err(other)?,
    }
}

macro_rules! types {
    ($($name:ident $in_tx:ident $(retry = $retry:tt)?),+ $(,)?) => {$(
        #[task(max_attempts = 3, timeout = "200ms" $(, retry = $retry)?)]
        async fn $name(way: String) -> Result<(), Box<dyn Error + Send + Sync>> {
            end(&way).await
        }

        #[task(max_attempts = 3, timeout = "200ms" $(, retry = $retry)?)]
        async fn $in_tx(_tx: &mut PgConnection, way: String) -> Result<(), Box<dyn Error + Send + Sync>> {
            end(&way).await
        }
    )+};
}

types! {
    unsaid unsaid_in_tx,
    exponential exponential_in_tx retry = "exponential(20s, 30s)",
    linear linear_in_tx retry = "linear(1m, 90s)",
    fixed fixed_in_tx retry = "fixed(50s)",
    listed listed_in_tx retry = "7m, 8s",
}

fn by_kind(number: u16, error: &(dyn Error + 'static)) -> Duration {
    let kind = match error {
        it if it.is::<TimedOut>() => 1000,
        it if it.is::<Panicked>() => 2000,
        it if it.to_string() == "no" => 3000,
        _ => 4000,
    };
    Duration::from_secs(kind + u64::from(number))
}

fn asked(payload: &Asked, number: u16, error: &(dyn Error + 'static)) -> Duration {
    assert!(!payload.way.is_empty());
    by_kind(number, error)
}

fn asked_in_tx(_: &AskedInTx, number: u16, error: &(dyn Error + 'static)) -> Duration {
    by_kind(number, error)
}

#[task(name = "asked", payload = Asked, max_attempts = 3, timeout = "200ms", retry = asked)]
async fn run_asked(way: String) -> Result<(), Box<dyn Error + Send + Sync>> {
    end(&way).await
}

#[task(name = "asked_in_tx", payload = AskedInTx, max_attempts = 3, timeout = "200ms", retry = asked_in_tx)]
async fn run_asked_in_tx(
    _tx: &mut PgConnection,
    way: String,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    end(&way).await
}

type All = (
    Unsaid,
    UnsaidInTx,
    Exponential,
    ExponentialInTx,
    Linear,
    LinearInTx,
    Fixed,
    FixedInTx,
    Listed,
    ListedInTx,
    Asked,
    AskedInTx,
);

/// What becomes of a task, with the seconds until its next attempt.
#[derive(Debug)]
enum Becomes {
    Waiting(i32, RangeInclusive<f64>),
    Dead(&'static str),
}

fn expected(task_type: &str, way: &str, attempts: i32) -> Becomes {
    let hour = 3590.0..=3600.0;
    match (way, attempts) {
        ("snooze", _) => return Becomes::Waiting(attempts, hour),
        ("discard", _) => return Becomes::Dead("discarded"),
        ("cancel", _) => return Becomes::Dead("cancelled"),
        // The third is the last.
        (_, 2) => return Becomes::Dead("discarded"),
        ("retry_in", _) => return Becomes::Waiting(attempts + 1, hour),
        _ => {}
    }
    let is_first = attempts == 0;
    let middle = match task_type.trim_end_matches("_in_tx") {
        "unsaid" => [10.0, 5.0][usize::from(is_first)],
        "exponential" => [30.0, 20.0][usize::from(is_first)],
        "linear" => [90.0, 60.0][usize::from(is_first)],
        "fixed" => 50.0,
        "listed" => [8.0, 420.0][usize::from(is_first)],
        _ => {
            let kind = match way {
                "timeout" => 1000,
                "panic" => 2000,
                _ => 3000,
            };
            let exactly = f64::from(kind + attempts + 1);
            return Becomes::Waiting(attempts + 1, exactly - 10.0..=exactly);
        }
    };
    // A fifth by chance; and the time since.
    Becomes::Waiting(attempts + 1, 0.8 * middle - 10.0..=1.2 * middle)
}

#[tokio::test]
async fn each_outcome_is_followed_by_the_wait_that_its_type_declares() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.task (task_type, attempts, payload)
         select task_type, attempts, jsonb_build_object('way', way)
         from unnest(array['unsaid', 'exponential', 'linear', 'fixed', 'listed', 'asked']) as policy,
              unnest(array[policy, policy || '_in_tx']) as task_type,
              unnest(array['error', 'panic', 'timeout', 'retry_in', 'snooze', 'discard', 'cancel']) as way,
              generate_series(0, 2) as attempts",
    )
    .await;
    let left = "select exists (select from taskq.lease) or exists (select from taskq.task where run_at <= now())";
    while_working(worker(&pool).only::<All>(), async {
        until("all have failed", async || !one::<bool>(&pool, left).await).await;
    })
    .await;
    let rows: Vec<(String, String, i32, String, i32, Option<f64>)> = query_as(
        "select task_type, payload ->> 'way',
                row_number() over (partition by task_type, payload ->> 'way' order by task_id)::integer - 1,
                state, attempts, extract(epoch from run_at - now())::float8
         from taskq.tasks",
    )
    .fetch_all(&pool)
    .await
    .expect("rows");
    assert_eq!(rows.len(), 12 * 7 * 3);
    for (task_type, way, began_with, state, attempts, due_in) in rows {
        let expected = expected(&task_type, &way, began_with);
        let is_as_expected = match &expected {
            Becomes::Dead(word) => state == *word && attempts == began_with + 1,
            Becomes::Waiting(number, range) => {
                state == "waiting"
                    && attempts == *number
                    && due_in.is_some_and(|due_in| range.contains(&due_in))
            }
        };
        assert!(
            is_as_expected,
            "{task_type}, {way}, after {began_with}: {state}, {attempts} attempts, due in {due_in:?}; expected {expected:?}"
        );
    }
}

#[tokio::test]
async fn a_commit_that_postgres_refuses_waits_as_any_failure_does() {
    fn on_refusal(_: &Refused, _: u16, error: &(dyn Error + 'static)) -> Duration {
        let is_known = error.to_string().contains("effect_n_fkey");
        Duration::from_secs(if is_known { 5000 } else { 1 })
    }

    #[task(retry = on_refusal)]
    async fn refused(tx: &mut PgConnection) -> sqlx::Result<()> {
        query("insert into effect values (1)")
            .execute(tx)
            .await
            .map(drop)
    }

    let (_database, pool) = database().await;
    execute(
        &pool,
        "create table known (n integer primary key);
         create table effect (n integer references known deferrable initially deferred)",
    )
    .await;
    let mut db = pool.acquire().await.expect("a connection");
    Refused::enqueue(&mut db).await.expect("enqueued");
    while_working(worker(&pool).only::<(Refused,)>(), async {
        let failed = "select attempts = 1 from taskq.tasks";
        until("it has failed", async || one::<bool>(&pool, failed).await).await;
    })
    .await;
    assert!((4990.0..=5000.0).contains(&due_in(&pool).await));
}

async fn due_in(pool: &PgPool) -> f64 {
    one(
        pool,
        "select extract(epoch from run_at - now())::float8 from taskq.task",
    )
    .await
}

#[tokio::test]
async fn what_a_function_returns_holds_from_none_to_a_hundred_years() {
    fn as_told(payload: &Told, _: u16, _: &dyn Error) -> Duration {
        match &*payload.wait {
            "none" => Duration::ZERO,
            "max" => Duration::MAX,
            _ => panic!("no such wait"),
        }
    }

    #[task(max_attempts = 2, retry = as_told)]
    async fn told(wait: String) -> Result<(), &'static str> {
        drop(wait);
        Err("no")
    }

    let log = Log::capture();
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    for wait in ["none", "max", "unheard of"] {
        Told::enqueue(&mut db, wait.into()).await.expect("enqueued");
    }
    while_working(worker(&pool).only::<(Told,)>(), async {
        let failed = "select count(*) filter (where state = 'discarded') = 1 and min(attempts) > 0
                      from taskq.tasks";
        until("all have failed", async || one::<bool>(&pool, failed).await).await;
    })
    .await;
    let rows: Vec<(String, String, Option<f64>)> = query_as(
        "select payload ->> 'wait', state, extract(epoch from run_at - now())::float8 / 86400 / 366
         from taskq.tasks order by task_id",
    )
    .fetch_all(&pool)
    .await
    .expect("rows");
    let [none, max, unheard_of] = <[_; 3]>::try_from(rows).expect("three");
    assert_eq!(none.1, "discarded", "it is attempted again at once");
    assert!((99.9..=100.0).contains(&max.2.expect("due")), "{max:?}");
    let seconds = unheard_of.2.expect("due") * 86400.0 * 366.0;
    assert!((-6.0..=6.0).contains(&seconds), "{unheard_of:?}");
    let text = log.text();
    assert!(
        text.contains("the function of `retry` failed") && text.contains("no such wait"),
        "{text}"
    );
}

#[tokio::test]
async fn a_function_sees_the_error_of_a_handler_with_secrets_and_nobody_else_does() {
    #[derive(Debug, thiserror::Error)]
    #[error("the bank refuses {0}")]
    struct Refusal(String);

    fn by_type(payload: &Charge, _: u16, error: &(dyn Error + 'static)) -> Duration {
        let refusal = error.downcast_ref::<Refusal>();
        let is_told = refusal.is_some_and(|it| it.0 == payload.card);
        Duration::from_secs(if is_told { 5000 } else { 1 })
    }

    #[task(retry = by_type)]
    async fn charge(#[secret] card: String) -> Result<(), Refusal> {
        Err(Refusal(card))
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let card = "4000-1234".to_owned();
    Charge::enqueue(&mut db, card).await.expect("enqueued");
    while_working(worker(&pool).only::<(Charge,)>(), async {
        let failed = "select attempts = 1 from taskq.tasks";
        until("it has failed", async || one::<bool>(&pool, failed).await).await;
    })
    .await;
    assert!((4990.0..=5000.0).contains(&due_in(&pool).await));
    let error: String = one(&pool, "select errors -> 0 ->> 'error' from taskq.task").await;
    assert_eq!(error, "the bank refuses ***");
}

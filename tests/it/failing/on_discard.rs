//! What a task type does when one of its tasks is given up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::{PgConnection, PgPool, query, query_as};
use taskq::{Attempt, Discarded, operate, task};
use tokio::process::Command;
use tokio::time::sleep;

use crate::support::{
    Log, count_effects, database, drain, effects, execute, one, states, until, while_working,
    worker,
};

type Runs = AtomicUsize;

/// Whether the function fails.
struct Fails(AtomicBool);

async fn write(
    payload: i64,
    discarded: Discarded<'_>,
    tx: &mut PgConnection,
) -> Result<(), taskq::error::BoxError> {
    let because = "insert into letter values ($1, $2, $3)";
    let letter = query(because)
        .bind(payload)
        .bind(discarded.error())
        .bind(i32::from(discarded.attempt().number()));
    letter.execute(tx).await?;
    let fails = discarded.state::<Fails>();
    match fails.is_some_and(|it| it.0.load(Ordering::SeqCst)) {
        true => Err("the printer is out of ink")?,
        false => Ok(()),
    }
}

async fn told(
    payload: Charge,
    discarded: Discarded<'_>,
    tx: &mut PgConnection,
) -> Result<(), taskq::error::BoxError> {
    write(payload.n, discarded, tx).await
}

async fn told_in_tx(
    payload: ChargeInTx,
    discarded: Discarded<'_>,
    tx: &mut PgConnection,
) -> Result<(), taskq::error::BoxError> {
    write(payload.n, discarded, tx).await
}

#[task(max_attempts = 2, max_snoozes = 1, give_up_after = "1h", retry = "fixed(1ms)", on_discard = told)]
async fn charge(runs: &Runs, n: i64, way: String) -> Result<(), taskq::error::BoxError> {
    runs.fetch_add(1, Ordering::SeqCst);
    end(n, &way)
}

#[task(max_attempts = 2, max_snoozes = 1, give_up_after = "1h", retry = "fixed(1ms)", on_discard = told_in_tx)]
async fn charge_in_tx(
    tx: &mut PgConnection,
    runs: &Runs,
    n: i64,
    way: String,
) -> Result<(), taskq::error::BoxError> {
    runs.fetch_add(1, Ordering::SeqCst);
    query("insert into effect values ($1)")
        .bind(n)
        .execute(tx)
        .await?;
    end(n, &way)
}

fn end(n: i64, way: &str) -> Result<(), taskq::error::BoxError> {
    match way {
        "discard" => Err(taskq::outcome::discard("no such card"))?,
        "cancel" => Err(taskq::outcome::cancel("paid already"))?,
        "snooze" => Err(taskq::outcome::snooze(Duration::ZERO))?,
        "late" => Err(taskq::outcome::retry_in(Duration::from_secs(7200)))?,
        "panic" => panic!("card {n}"),
        "succeed" => Ok(()),
        _ => Err(format!("card {n}"))?,
    }
}

type Both = (Charge, ChargeInTx);

async fn letters(pool: &PgPool) {
    effects(pool).await;
    execute(
        pool,
        "create table letter (n bigint, why text, attempt integer)",
    )
    .await;
}

async fn written(pool: &PgPool) -> Vec<(i64, String, i32)> {
    let letters = query_as("select n, why, attempt from letter order by n, why");
    letters.fetch_all(pool).await.expect("letters")
}

#[tokio::test]
async fn whatever_discards_a_task_tells_its_type_once() {
    let (_database, pool) = database().await;
    letters(&pool).await;
    let ways = [
        "fail", "panic", "discard", "snooze", "late", "cancel", "succeed",
    ];
    let mut db = pool.acquire().await.expect("a connection");
    for (n, way) in (1..).zip(ways) {
        Charge::enqueue(&mut db, n, way.into())
            .await
            .expect("enqueued");
        ChargeInTx::enqueue(&mut db, n + 10, way.into())
            .await
            .expect("enqueued");
    }
    execute(
        &pool,
        "insert into taskq.task (task_type, payload) values ('charge', '{\"n\": \"many\"}')",
    )
    .await;
    let work = worker(&pool).only::<Both>().state(Runs::default());
    drain(work, &pool).await;
    let counts = [("cancelled", 2), ("discarded", 10), ("invalid", 1)];
    let counts = counts.map(|(state, count)| (state.to_owned(), count));
    assert_eq!(states(&pool).await, counts.into());
    let letters = written(&pool).await;
    assert_eq!(letters.len(), 10, "{letters:?}");
    for (n, why, attempt) in letters {
        let (said, number) = match n % 10 {
            1 => (format!("card {n}"), 2),
            2 => (format!("card {n}"), 2),
            3 => ("no such card".to_owned(), 1),
            4 => ("`max_snoozes` allows 1".to_owned(), 1),
            _ => ("`give_up_after` ends at".to_owned(), 1),
        };
        assert!(why.contains(&said), "{n}: {why}");
        assert_eq!(attempt, number, "{n}");
    }
    let kept = "select count(*) from letter join taskq.dead on payload ->> 'n' = n::text
                 where errors -> -1 ->> 'error' = why and attempts = letter.attempt";
    assert_eq!(one::<i64>(&pool, kept).await, 10, "the row says the same");
    let (handled, _) = count_effects(&pool).await;
    assert_eq!(handled, 1, "what a failed handler wrote is undone");
}

#[tokio::test]
async fn a_function_that_fails_keeps_the_task_and_runs_again_without_the_handler() {
    let log = Log::capture();
    let (_database, pool) = database().await;
    letters(&pool).await;
    let mut db = pool.acquire().await.expect("a connection");
    Charge::enqueue(&mut db, 1, "discard".into())
        .await
        .expect("enqueued");
    let in_tx = ChargeInTx::enqueue(&mut db, 2, "discard".into());
    let in_tx = in_tx.await.expect("enqueued");
    let runs = Arc::new(Runs::default());
    let fails = Arc::new(Fails(AtomicBool::new(true)));
    let work = || {
        let work = worker(&pool).only::<Both>();
        work.state_arc(Arc::clone(&runs))
            .state_arc(Arc::clone(&fails))
    };
    while_working(work(), async {
        for tries in 1..=3_i64 {
            until("it has failed", async || {
                let errors: Option<i64> =
                    one(&pool, "select min(jsonb_array_length(errors))::bigint from taskq.task").await;
                let waiting: i64 = one(&pool, "select count(*) from taskq.task").await;
                waiting == 2 && errors == Some(tries)
            })
            .await;
            let sooner = "update taskq.task set run_at = now() where metadata -> 'task.discard' -> 'tries' < '3'";
            execute(&pool, sooner).await;
        }
    })
    .await;
    assert_eq!(runs.load(Ordering::SeqCst), 2, "each handler ran once");
    assert!(written(&pool).await.is_empty(), "what it wrote is undone");
    let rows: Vec<(i32, String, String, i64, f64)> = query_as(
        "select attempts, errors -> -1 ->> 'error', metadata -> 'task.discard' ->> 'error',
                (metadata -> 'task.discard' ->> 'tries')::bigint, extract(epoch from run_at - now())::float8
         from taskq.task",
    )
    .fetch_all(&pool)
    .await
    .expect("they wait");
    for (attempts, error, given_up, tries, due_in) in rows {
        let said = "`on_discard` failed: the printer is out of ink; the task is given up: discarded: no such card";
        assert_eq!((attempts, &*error, tries), (0, said, 3));
        assert_eq!(given_up, "discarded: no such card");
        assert!((10.0..=24.0).contains(&due_in), "the third wait: {due_in}");
    }
    let text = log.text();
    assert!(
        text.contains("the function of `on_discard` failed"),
        "{text}"
    );
    assert!(!text.contains("task discarded"), "{text}");

    // It waits for as long as it takes, and then the task is dead, and says why.
    fails.0.store(false, Ordering::SeqCst);
    execute(&pool, "update taskq.task set run_at = now()").await;
    drain(work(), &pool).await;
    assert_eq!(states(&pool).await, [("discarded".to_owned(), 2)].into());
    let why = "discarded: no such card".to_owned();
    assert_eq!(written(&pool).await, [(1, why.clone(), 1), (2, why, 1)]);
    let last = "select count(*) from taskq.dead where attempts = 1 and errors -> -1 ->> 'error' = 'discarded: no such card'";
    assert_eq!(one::<i64>(&pool, last).await, 2);
    assert_eq!(runs.load(Ordering::SeqCst), 2);

    // Retried, it is a task like any other: its handler runs.
    operate(&pool).retry(in_tx.task_id).await.expect("retried");
    drain(work(), &pool).await;
    assert_eq!(runs.load(Ordering::SeqCst), 3);
    assert_eq!(written(&pool).await.len(), 3);
}

#[tokio::test]
async fn a_function_that_panics_hangs_or_breaks_a_constraint_keeps_the_task() {
    async fn breaks(payload: Frail, _: Discarded<'_>, tx: &mut PgConnection) -> sqlx::Result<()> {
        match &*payload.way {
            "panic" => panic!("out of paper"),
            "hang" => sqlx::query("select pg_sleep(60)")
                .execute(tx)
                .await
                .map(drop),
            "commit" => sqlx::raw_sql("commit").execute(tx).await.map(drop),
            _ => query("insert into child values (1)")
                .execute(tx)
                .await
                .map(drop),
        }
    }

    #[task(max_attempts = 1, timeout = "300ms", on_discard = breaks)]
    async fn frail(way: String) -> Result<(), String> {
        Err(way)
    }

    let (_database, pool) = database().await;
    execute(
        &pool,
        "create table parent (n integer primary key);
         create table child (n integer references parent deferrable initially deferred)",
    )
    .await;
    let mut db = pool.acquire().await.expect("a connection");
    for way in ["panic", "hang", "commit", "constraint"] {
        Frail::enqueue(&mut db, way.into()).await.expect("enqueued");
    }
    while_working(worker(&pool).only::<(Frail,)>(), async {
        let all = "select count(*) = 4 from taskq.task where metadata ? 'task.discard'";
        until("all have failed", async || one::<bool>(&pool, all).await).await;
    })
    .await;
    let rows: Vec<(String, String)> = query_as(
        "select payload ->> 'way', errors -> -1 ->> 'error' from taskq.task order by task_id",
    )
    .fetch_all(&pool)
    .await
    .expect("they wait");
    for ((way, error), said) in rows.iter().zip([
        "out of paper",
        "timed out after 300ms",
        "ended its task's transaction",
        "child_n_fkey",
    ]) {
        assert!(error.starts_with("`on_discard` failed: "), "{error}");
        assert!(error.contains(said), "{error}");
        assert!(
            error.ends_with(&format!("the task is given up: {way}")),
            "{error}"
        );
    }
    assert_eq!(one::<i64>(&pool, "select count(*) from child").await, 0);
    assert_eq!(
        one::<i64>(&pool, "select count(*) from taskq.lease").await,
        0
    );
}

#[tokio::test]
async fn a_task_whose_id_a_dead_task_has_is_set_aside_and_discarded_under_another() {
    let (_database, pool) = database().await;
    letters(&pool).await;
    let mut db = pool.acquire().await.expect("a connection");
    // Each is dead; then their ids come again.
    for fails in [false, true] {
        execute(&pool, "alter sequence taskq.task_task_id_seq restart").await;
        Charge::enqueue(&mut db, 1 + 2 * i64::from(fails), "discard".into())
            .await
            .expect("enqueued");
        ChargeInTx::enqueue(&mut db, 2 + 2 * i64::from(fails), "fail".into())
            .await
            .expect("enqueued");
        let runs = Arc::new(Runs::new(0));
        let working = || worker(&pool).only::<Both>().state_arc(runs.clone());
        if !fails {
            drain(working(), &pool).await;
            continue;
        }
        // It tries once more before that, by itself.
        while_working(working(), async {
            until("set aside", async || {
                execute(&pool, "update taskq.task set run_at = now()").await;
                states(&pool).await.get("refused") == Some(&2)
            })
            .await;
        })
        .await;
        assert_eq!(written(&pool).await.len(), 2);
        let taken_back = "select count(taskq.take_back(task_id)) from taskq.refused";
        assert_eq!(one::<i64>(&pool, taken_back).await, 2);
        drain(working(), &pool).await;
        assert_eq!(runs.load(Ordering::SeqCst), 3, "no handler runs again");
    }
    assert_eq!(states(&pool).await, [("discarded".into(), 4)].into());
    let numbers: Vec<i64> = written(&pool).await.iter().map(|it| it.0).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_task_whose_discard_fails_can_be_cancelled() {
    let (_database, pool) = database().await;
    letters(&pool).await;
    let mut db = pool.acquire().await.expect("a connection");
    let task = Charge::enqueue(&mut db, 1, "discard".into())
        .await
        .expect("enqueued");
    let work = worker(&pool).only::<Both>().state(Runs::default());
    while_working(work.state(Fails(AtomicBool::new(true))), async {
        let waits = "select count(*) = 1 from taskq.task where metadata ? 'task.discard'";
        until("it has failed", async || one::<bool>(&pool, waits).await).await;
    })
    .await;
    operate(&pool)
        .cancel(task.task_id)
        .await
        .expect("cancelled");
    assert_eq!(states(&pool).await, [("cancelled".to_owned(), 1)].into());
    assert!(written(&pool).await.is_empty());
}

/// The other process: it writes a letter, and is killed before that is committed.
#[task(max_attempts = 1, on_discard = told_slowly)]
async fn charge_slowly(attempt: &Attempt, n: i64) -> Result<(), String> {
    Err(format!("card {n}, attempt {}", attempt.number()))
}

async fn told_slowly(
    payload: ChargeSlowly,
    discarded: Discarded<'_>,
    tx: &mut PgConnection,
) -> Result<(), taskq::error::BoxError> {
    write(payload.n, discarded, tx).await?;
    if std::env::var_os("TASKQ_IT_DISCARDS").is_some() {
        println!("written");
        sleep(Duration::from_secs(600)).await;
    }
    Ok(())
}

/// What the test below runs in a process of its own.
#[tokio::test]
#[ignore = "the other process of a test"]
async fn discards_slowly() {
    let url = std::env::var("TASKQ_IT_DISCARDS").expect("a database");
    let pool = PgPool::connect(&url).await.expect("connected");
    let work = worker(&pool).only::<(ChargeSlowly,)>();
    work.build()
        .await
        .expect("built")
        .run()
        .await
        .expect("runs");
}

#[tokio::test]
async fn a_process_that_is_killed_in_between_leaves_the_task_to_another() {
    let (database, pool) = database().await;
    letters(&pool).await;
    let mut db = pool.acquire().await.expect("a connection");
    ChargeSlowly::enqueue(&mut db, 7).await.expect("enqueued");
    let mut other = Command::new(std::env::current_exe().expect("this program"))
        .args([
            "--ignored",
            "--exact",
            "failing::on_discard::discards_slowly",
        ])
        .env("TASKQ_IT_DISCARDS", database.url())
        .stdout(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("started");
    let writes = "select exists (select from pg_locks where relation = 'letter'::regclass and mode = 'RowExclusiveLock')";
    until("it has written", async || one::<bool>(&pool, writes).await).await;
    other.kill().await.expect("killed");
    until("its session has ended", async || {
        !one::<bool>(&pool, writes).await
    })
    .await;
    assert!(written(&pool).await.is_empty());
    assert_eq!(states(&pool).await, [("running".to_owned(), 1)].into());
    execute(
        &pool,
        "update taskq.lease set expires_at = now() - interval '1 second'",
    )
    .await;
    drain(worker(&pool).only::<(ChargeSlowly,)>(), &pool).await;
    assert_eq!(
        written(&pool).await,
        [(7, "card 7, attempt 1".to_owned(), 1)]
    );
    let row = "select crashes = 1 and attempts = 1 and state = 'discarded' from taskq.dead";
    assert!(one::<bool>(&pool, row).await);
}

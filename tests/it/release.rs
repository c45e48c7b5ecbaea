//! Two releases of a program, as processes: a task type of version 1, and of version 2 with an upgrade.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Stdio;
use std::thread;

use sqlx::{PgPool, query_as};
use taskq::testing::Database;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::support::{LIMIT, database, execute, one, terminate, until};

const ONE: &str = env!("CARGO_BIN_EXE_release_one");
const TWO: &str = env!("CARGO_BIN_EXE_release_two");

async fn deliveries() -> (Database, PgPool) {
    let (database, pool) = database().await;
    execute(
        &pool,
        "create table delivery (n bigint not null, enqueued_by smallint not null, run_by smallint not null)",
    )
    .await;
    (database, pool)
}

/// A process of a release, which ends with its test at the latest. Where the test fails, it shows what it said.
struct Release {
    process: Child,
    log: PathBuf,
}

impl Drop for Release {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let first = log.lines().count().saturating_sub(200);
            let last: Vec<&str> = log.lines().skip(first).collect();
            println!("{}:\n{}", self.log.display(), last.join("\n"));
        }
        let _ = fs::remove_file(&self.log);
    }
}

fn start(release: &str, database: &Database, arguments: &[&str]) -> Release {
    let log = std::env::temp_dir().join(format!("taskq-release-{:016x}", fastrand::u64(..)));
    let process = Command::new(release)
        .args(arguments)
        .env("DATABASE_URL", database.url())
        .stdin(Stdio::null())
        .stderr(File::create(&log).expect("a file"))
        .kill_on_drop(true)
        .spawn()
        .expect("it starts");
    Release { process, log }
}

async fn ends(mut release: Release) {
    let ended = timeout(LIMIT, release.process.wait())
        .await
        .expect("in time");
    assert!(ended.expect("it ended").success());
}

async fn enqueue(release: &str, database: &Database, first: i64, last: i64) {
    let (first, last) = (first.to_string(), last.to_string());
    ends(start(release, database, &["enqueue", &first, &last])).await;
}

/// Stops a worker in order, so that it writes its counters.
async fn stop(worker: Release) {
    terminate(&worker.process);
    ends(worker).await;
}

async fn delivered(pool: &PgPool, count: i64) {
    until("delivered", async || {
        one::<i64>(pool, "select count(*) from delivery").await >= count
    })
    .await;
}

/// Makes sure that each of the numbers was delivered once, that nothing failed on the way, and that
/// nothing is left. To be asked when all workers have stopped.
async fn all_went_well(pool: &PgPool, count: i64) {
    let delivered: (i64, i64, Option<i64>, Option<i64>) =
        query_as("select count(*), count(distinct n), min(n), max(n) from delivery")
            .fetch_one(pool)
            .await
            .expect("deliveries");
    assert_eq!(delivered, (count, count, Some(1), Some(count)));
    let outcomes: Vec<(String, i64)> =
        query_as("select outcome, sum(total)::bigint from taskq.counter group by outcome")
            .fetch_all(pool)
            .await
            .expect("counters");
    assert_eq!(outcomes, [("completed".to_owned(), count)]);
    assert_eq!(
        one::<i64>(pool, "select count(*) from taskq.tasks").await,
        0
    );
}

/// How many there are of each (enqueued by, run by).
async fn ways(pool: &PgPool) -> Vec<(i16, i16, i64)> {
    query_as("select enqueued_by, run_by, count(*) from delivery group by 1, 2 order by 1, 2")
        .fetch_all(pool)
        .await
        .expect("deliveries")
}

#[tokio::test]
async fn workers_of_both_releases_share_what_both_enqueue() {
    let (database, pool) = deliveries().await;
    let old = start(ONE, &database, &["work"]);
    let new = start(TWO, &database, &["work"]);
    until("both are there", async || {
        one::<i64>(&pool, "select count(*) from taskq.worker").await == 2
    })
    .await;
    tokio::join!(
        enqueue(ONE, &database, 1, 300),
        enqueue(TWO, &database, 301, 600),
        enqueue(ONE, &database, 601, 900),
        enqueue(TWO, &database, 901, 1200),
    );
    delivered(&pool, 1200).await;
    stop(old).await;
    stop(new).await;
    all_went_well(&pool, 1200).await;
    let ways = ways(&pool).await;
    println!("(enqueued by, run by, deliveries): {ways:?}");
    let by = |enqueued_by, run_by| {
        let mut ways = ways.iter();
        ways.find(|it| (it.0, it.1) == (enqueued_by, run_by))
            .map_or(0, |it| it.2)
    };
    assert_eq!(
        by(2, 1),
        0,
        "the old release cannot read what the new one writes"
    );
    assert_eq!(by(2, 2), 600);
    assert!(by(1, 1) > 0, "the old worker took part: {ways:?}");
    assert_eq!(by(1, 1) + by(1, 2), 600);
}

#[tokio::test]
async fn rows_of_the_old_release_are_run_when_only_new_workers_are_left() {
    let (database, pool) = deliveries().await;
    enqueue(ONE, &database, 1, 100).await;
    // Not from either: a bare insert of the old form says no version.
    execute(
        &pool,
        r#"insert into taskq.task (task_type, payload) values ('deliver', '{"n": 101}')"#,
    )
    .await;
    let worker = start(TWO, &database, &["work"]);
    delivered(&pool, 101).await;
    stop(worker).await;
    all_went_well(&pool, 101).await;
    assert_eq!(ways(&pool).await, [(1, 2, 101)]);
}

#[tokio::test]
async fn after_a_rollback_rows_of_the_new_release_wait_untouched_until_it_comes_back() {
    let (database, pool) = deliveries().await;
    let old = start(ONE, &database, &["work"]);
    tokio::join!(
        enqueue(TWO, &database, 1, 100),
        enqueue(ONE, &database, 101, 200),
    );
    let rows = async || -> (i64, String) {
        query_as(
            "select count(*), md5(string_agg(concat_ws(' ', ctid, xmin, xmax, task), ';' order by task_id))
             from taskq.task where payload_version = 2",
        )
        .fetch_one(&pool)
        .await
        .expect("rows")
    };
    let before = rows().await;
    delivered(&pool, 100).await;
    // Old work that came last: the old worker has looked over the new rows until its end.
    enqueue(ONE, &database, 201, 300).await;
    delivered(&pool, 200).await;
    assert_eq!((before.0, &before), (100, &rows().await));
    assert_eq!(ways(&pool).await, [(1, 1, 200)]);

    let new = start(TWO, &database, &["work"]);
    delivered(&pool, 300).await;
    stop(old).await;
    stop(new).await;
    all_went_well(&pool, 300).await;
    assert_eq!(ways(&pool).await, [(1, 1, 200), (2, 2, 100)]);
}

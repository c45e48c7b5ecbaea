//! A task whose handler takes its process along, in a fleet whose processes are started again.

use std::collections::HashMap;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use sqlx::query_scalar;
use taskq_tests::history::{Event, events};
use taskq_tests::killers::{Gathered, Kills, Passes, Writes, WritesLazily};
use tokio::time::sleep;

use crate::stage::{Actor, Running, Stage};

/// With so many crashes a task is quarantined, says the guide.
const CRASHES: usize = 5;

/// Other tasks beside the one that kills, of which so many are enqueued at first and after each death but the last.
const OTHERS: i64 = 10_000;
const AT_ONCE: i64 = OTHERS / 5;

/// Longer than five leases of a busy machine take.
const LIMIT: Duration = Duration::from_secs(180);

/// Processes, each of which is started again when it dies, as by systemd.
struct Fleet<'a> {
    stage: &'a Stage,
    processes: Vec<Running>,
    deaths: usize,
}

impl<'a> Fleet<'a> {
    fn start(stage: &'a Stage, processes: usize) -> Self {
        let processes = (0..processes).map(|_| process(stage).start()).collect();
        Self {
            stage,
            processes,
            deaths: 0,
        }
    }

    /// Starts again what has died. Returns how many processes that were.
    fn tend(&mut self) -> usize {
        let mut dead = 0;
        for running in &mut self.processes {
            if let Some(status) = running.has_ended() {
                let stage = self.stage;
                assert_eq!(
                    status.signal(),
                    Some(Signal::ABORT.as_raw()),
                    "{status}: {stage}"
                );
                *running = process(stage).start();
                dead += 1;
            }
        }
        self.deaths += dead;
        dead
    }

    /// Runs the fleet until no task waits or runs. Does something after each death.
    async fn ends(&mut self, mut after_death: impl AsyncFnMut(usize)) {
        let began = Instant::now();
        let left = "select count(*) from taskq.tasks where state in ('waiting', 'running')";
        while self.stage.count(left).await > 0 {
            let stage = self.stage;
            assert!(began.elapsed() < LIMIT, "not within {LIMIT:?}: {stage}");
            if self.tend() > 0 {
                after_death(self.deaths).await;
            }
            sleep(Duration::from_millis(50)).await;
        }
        self.tend();
    }
}

async fn stage() -> Stage {
    let stage = Stage::shared().await;
    let table = "create table left_once (n bigint primary key)";
    stage.execute(table).await;
    stage
}

fn process(stage: &Stage) -> Actor {
    let process = stage.worker().set("KILLERS", true).set("KEEP", true);
    process.set("CONCURRENCY", 12)
}

/// Enqueues tasks that do no harm, of three types.
async fn enqueue_others(stage: &Stage, first: i64) {
    let mut tx = stage.pool.begin().await.expect("begun");
    // Some take long, so that they are there whenever a process dies.
    let takes_ms = |n: i64| if n % 200 < 3 { 1_500 } else { 5 };
    let of_type = |it: i64| (first..first + AT_ONCE).filter(move |n| n % 3 == it);
    let writes = of_type(0).map(|n| Writes {
        n,
        takes_ms: takes_ms(n),
    });
    let lazily = of_type(1).map(|n| WritesLazily {
        n,
        takes_ms: takes_ms(n),
    });
    let passes = of_type(2).map(|n| Passes {
        n,
        takes_ms: takes_ms(n),
    });
    let enqueued = async {
        taskq::enqueue_many(&mut tx, writes).await?;
        taskq::enqueue_many(&mut tx, lazily).await?;
        taskq::enqueue_many(&mut tx, passes).await
    };
    enqueued.await.expect("enqueued");
    tx.commit().await.expect("committed");
}

/// Makes sure that this task alone has ended in another way than all others, and that operators are told which and why.
async fn is_quarantined(stage: &Stage, task_id: i64, of_type: &str) {
    let dead: Vec<(i64, String, i32, i32)> =
        sqlx::query_as("select task_id, state, crashes, attempts from taskq.dead")
            .fetch_all(&stage.pool)
            .await
            .expect("dead tasks");
    let crashes = i32::try_from(CRASHES).expect("few");
    assert_eq!(
        dead,
        [(task_id, "quarantined".to_owned(), crashes, 0)],
        "{stage}"
    );
    let shown: Value = query_scalar("select taskq.show($1)")
        .bind(task_id)
        .fetch_one(&stage.pool)
        .await
        .expect("shown");
    let errors = shown["errors"].as_array().expect("its errors");
    let said: Vec<&str> = (errors.iter())
        .map(|it| it["error"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(said.len(), CRASHES, "{shown}");
    for said in &said {
        assert!(
            said.starts_with("its worker vanished") && said.contains(", which claimed it at "),
            "{said}"
        );
    }
    let last = format!("its worker vanished {CRASHES} times while it ran");
    assert!(said[CRASHES - 1].starts_with(&last), "{said:?}");
    let told: Vec<String> =
        query_scalar("select said from taskq.doctor() where problem = 'dead' order by 1")
            .fetch_all(&stage.pool)
            .await
            .expect("told");
    assert!(
        told.len() == 1
            && told[0].starts_with(&format!(
                "1 task of type {of_type} has died in the last day (quarantined)"
            ))
            && told[0].contains(&last),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_task_that_aborts_its_process_is_quarantined_after_five_crashes_and_ten_thousand_others_finish()
 {
    let stage = stage().await;
    enqueue_others(&stage, 0).await;
    let mut db = stage.pool.acquire().await.expect("a connection");
    let killer = Kills::enqueue(&mut db).await.expect("enqueued");
    drop(db);
    let mut fleet = Fleet::start(&stage, 4);
    let ends = fleet.ends(async |deaths| {
        if deaths < CRASHES {
            enqueue_others(&stage, AT_ONCE * i64::try_from(deaths).expect("few")).await;
        }
    });
    ends.await;
    assert_eq!(fleet.deaths, CRASHES, "{stage}");
    is_quarantined(&stage, killer.task_id, "kills").await;

    let completed: (i64, i64, i64) = sqlx::query_as(
        "select count(*), count(distinct payload ->> 'n'), count(distinct task_id) from taskq.history",
    )
    .fetch_one(&stage.pool)
    .await
    .expect("the history");
    assert_eq!(completed, (OTHERS, OTHERS, OTHERS), "{stage}");
    let once = stage.count("select count(*) from left_once").await;
    let in_tx = stage
        .count("select count(*) from taskq.history where task_type like 'writes%'")
        .await;
    assert_eq!(once, in_tx, "what they wrote is there once: {stage}");
    let attempts = "select count(*) from taskq.history where attempts <> 1";
    assert_eq!(stage.count(attempts).await, 0, "no attempt was charged");
    // The test means something: others had their process die under them.
    let charged = "select count(*) from taskq.history where jsonb_array_length(errors) > 0";
    assert!(stage.count(charged).await > 0, "{stage}");
}

#[tokio::test]
async fn of_a_batch_that_aborts_its_process_the_poisoned_payload_alone_is_quarantined() {
    const ALL: i64 = 200;
    const POISON: i64 = 77;
    let stage = stage().await;
    let mut db = stage.pool.acquire().await.expect("a connection");
    let all = (0..ALL).map(|n| Gathered {
        n,
        kills: n == POISON,
    });
    let enqueued = taskq::enqueue_many(&mut db, all).await.expect("enqueued");
    drop(db);
    let at = usize::try_from(POISON).expect("small");
    let killer = enqueued[at].task_id;
    let mut fleet = Fleet::start(&stage, 4);
    fleet.ends(async |_| {}).await;
    assert_eq!(fleet.deaths, CRASHES, "{stage}");
    is_quarantined(&stage, killer, "gathered").await;
    assert_eq!(
        stage.count("select count(*) from left_once").await,
        ALL - 1,
        "{stage}"
    );
    let history = stage.read_history();
    let mut calls = HashMap::<i64, Vec<usize>>::new();
    for (_, event) in events(&history) {
        if let Event::Gathered { numbers } = event {
            for n in numbers {
                calls.entry(*n).or_default().push(numbers.len());
            }
        }
    }
    let mut sizes = calls[&POISON].clone();
    sizes.sort_unstable();
    assert_eq!(sizes[..CRASHES - 1], [1; CRASHES - 1], "{sizes:?}: {stage}");
    assert!(sizes[CRASHES - 1] > 1, "it was one of many: {sizes:?}");
    // Those that were with it run once more.
    let again = calls.iter().filter(|(_, sizes)| sizes.len() > 1).count();
    assert!(again > 1, "{stage}");
}

#[tokio::test]
async fn in_a_fleet_of_one_those_that_always_run_beside_it_are_not_quarantined_with_it() {
    let stage = stage().await;
    let mut tx = stage.pool.begin().await.expect("begun");
    let writes = (0..3).map(|n| Writes { n, takes_ms: 1_000 });
    let enqueued = taskq::enqueue_many(&mut tx, writes).await;
    enqueued.expect("enqueued");
    let killer = Kills::enqueue(&mut tx).await.expect("enqueued");
    tx.commit().await.expect("committed");
    let mut fleet = Fleet::start(&stage, 1);
    fleet.ends(async |_| {}).await;
    assert_eq!(fleet.deaths, CRASHES, "{stage}");
    is_quarantined(&stage, killer.task_id, "kills").await;
    let once = stage.count("select count(*) from left_once").await;
    assert_eq!(once, 3, "{stage}");
}

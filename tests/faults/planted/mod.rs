//! Bugs that are planted on purpose: each scenario goes well without its bug, and with it the
//! checker finds something.
//!
//! A scenario has its bug meet a certain moment. On a slow machine that moment can pass, so the bug
//! has a few runs in which to be found.

mod company;
mod flow;
mod leases;
mod plants;
mod users;

use std::time::Duration;

use taskq_tests::checker::Summary;
use tokio::time::sleep;

use self::plants::Plant;
use crate::stage::{Actor, LIMIT, Stage};

/// A stage and what must not be of what happened there.
type Judged = (Stage, Result<Summary, Vec<String>>);

/// How often a scenario is run with its bug.
const RUNS: u32 = 3;

/// Runs a scenario without the bug and with it.
async fn is_found(plant: Plant, scenario: impl AsyncFn(Option<Plant>) -> Judged, expected: &str) {
    let (stage, found) = scenario(None).await;
    if let Err(found) = found {
        panic!("without the bug: {found:#?}\n{stage}");
    }
    let name = plant.name;
    for run in 1..=RUNS {
        let (stage, found) = scenario(Some(plant)).await;
        match found {
            Err(found) => {
                assert!(
                    found.iter().any(|violation| violation.contains(expected)),
                    "{name}: {found:#?}\n{stage}"
                );
                return;
            }
            Ok(summary) if run == RUNS => panic!("{name} is not found: {summary:?}\n{stage}"),
            Ok(summary) => eprintln!("{name} is not found in run {run}: {summary:?}"),
        }
    }
}

impl Stage {
    /// Plants the part of a bug that stands in functions of the database.
    async fn plant(&self, plant: Option<Plant>) {
        for edit in plant.iter().flat_map(|plant| plant.of_functions) {
            let function = edit.statement;
            let text = "select pg_get_functiondef(to_regproc('taskq.' || $1))";
            let text: String = sqlx::query_scalar(text)
                .bind(function)
                .fetch_one(&self.pool)
                .await
                .expect(function);
            let count = text.matches(edit.from).count();
            assert_eq!(count, 1, "`{}` in `{function}`", edit.from);
            let edited = sqlx::AssertSqlSafe(text.replace(edit.from, edit.to));
            sqlx::raw_sql(edited)
                .execute(&self.pool)
                .await
                .expect(function);
        }
    }

    async fn judged(self) -> Judged {
        let found = self.violations().await;
        (self, found)
    }
}

impl Actor {
    fn with_bug(self, plant: Option<Plant>) -> Self {
        let Some(plant) = plant else { return self };
        let edits = serde_json::to_string(plant.edits).expect("edits are plain data");
        self.set("TASKQ_EDITS", edits)
    }
}

/// A bug that is planted in a text which has changed says so, in place of not being there.
#[tokio::test]
async fn each_planted_bug_finds_the_text_that_it_replaces() {
    for plant in plants::ALL {
        let stage = Stage::shared().await;
        stage.execute("create sequence lease_sequence").await;
        stage.plant(Some(*plant)).await;
        let mut worker = stage.worker().with_bug(Some(*plant)).start();
        let begun = "select count(*) from taskq.worker";
        let began = std::time::Instant::now();
        while stage.count(begun).await == 0 {
            assert!(worker.has_ended().is_none(), "{}: see its log", plant.name);
            assert!(began.elapsed() < LIMIT);
            sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn a_worker_whose_edits_do_not_fit_does_not_start() {
    let stage = Stage::shared().await;
    let edit = |statement: &str, from: &str| {
        format!(r#"[{{"statement": "{statement}", "from": "{from}", "to": ""}}]"#)
    };
    for (process, (edits, expected)) in [
        (edit("heartbeat", "no such text"), "stands there 0 times"),
        (
            edit("no_statement", "select"),
            "there is no statement `no_statement`",
        ),
    ]
    .iter()
    .enumerate()
    {
        let mut worker = stage.worker().set("TASKQ_EDITS", edits).start();
        assert!(!worker.ended().await.success());
        let log = stage.log(process);
        assert!(log.contains(expected), "{log}");
    }
}

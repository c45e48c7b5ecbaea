//! What a doctor tells of the way to the server: a clock that is wrong, a pooler in transaction mode.

use std::process::{Command, Output};

use serde_json::Value;

use crate::bouncer::Bouncer;
use crate::clock::liar;
use crate::stage::{Stage, skip};

/// Runs a worker's binary that asks what is wrong.
fn doctor(url: &str, environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_operated"))
        .args(["doctor", "--json"])
        .env("DATABASE_URL", url)
        .envs(environment.iter().copied())
        .output()
        .expect("it runs")
}

/// Returns what is said of a kind of trouble.
fn said(output: &Output, problem: &str) -> Vec<String> {
    let ailments: Vec<Value> = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let those = ailments.iter().filter(|it| it["problem"] == problem);
    let text = |it: &Value| it["said"].as_str().unwrap_or_default().to_owned();
    those.map(text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doctor_tells_of_a_clock_that_is_wrong_and_of_none_that_is_right() {
    let stage = Stage::shared().await;
    assert_eq!(said(&doctor(stage.url(), &[]), "clock"), [] as [&str; 0]);
    let Some(liar) = liar() else { return };
    let liar = liar.to_str().expect("a path in UTF-8");
    for (off, says) in [("3600", "3,600 s ahead of"), ("-90", "90 s behind")] {
        let lied = doctor(stage.url(), &[("LD_PRELOAD", liar), ("TASKQ_CLOCK", off)]);
        let said = said(&lied, "clock");
        let told = format!("the clock of this machine is {says} that of Postgres");
        assert!(
            said.len() == 1 && said[0].starts_with(&told),
            "{off}: {said:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doctor_tells_of_a_pooler_in_transaction_mode_and_of_no_other() {
    let stage = Stage::own().await;
    assert_eq!(said(&doctor(stage.url(), &[]), "pooler"), [] as [&str; 0]);
    let bouncer = match Bouncer::start(&stage, "postgres").await {
        Ok(bouncer) => bouncer,
        Err(why) => return skip(&why),
    };
    let said = said(&doctor(&bouncer.url(), &[]), "pooler");
    assert_eq!(
        said,
        [
            "a pooler in transaction mode stands before Postgres: notifications do not come through it"
        ]
    );
}

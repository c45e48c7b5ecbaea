//! Workers whose clock is wrong by an hour.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tokio::time::sleep;

use crate::kill::enqueue_a_mixture;
use crate::stage::{Actor, REPEATABLE, Running, Stage, seed, skip};

/// Tells whether there is the program that lies about the time.
pub(crate) fn can_be_faked() -> bool {
    Command::new("faketime")
        .args(["-f", "+1h", "true"])
        .output()
        .is_ok_and(|output| output.status.success())
}

impl Actor {
    /// Starts it with the clock set off, such as `+1h`. The monotonic clock goes on as it is, as it
    /// does when somebody sets the time.
    pub(crate) fn start_with_clock(self, offset: &str) -> Running {
        self.set("FAKETIME_DONT_FAKE_MONOTONIC", 1)
            .set("DONT_FAKE_MONOTONIC", 1)
            .start_through(&["faketime", "-f", offset])
    }
}

#[tokio::test]
async fn all_is_well_where_the_clocks_of_workers_are_wrong_by_an_hour() {
    if !can_be_faked() {
        return skip("there is no `faketime`, which gives a process a wrong clock");
    }
    seed();
    let stage = Stage::shared().await;
    enqueue_a_mixture(&stage, 30, 20).await;
    // Due in half an hour, which is past for one of them.
    stage.enqueue(REPEATABLE, 3, 0).await;
    stage
        .execute("update taskq.task set run_at = now() + interval '30 minutes' where payload ->> 'takes_ms' = '0'")
        .await;
    let mut workers = [
        stage.worker().start_with_clock("+1h"),
        stage.worker().start_with_clock("-1h"),
        stage.worker().start(),
    ];
    sleep(Duration::from_secs(2)).await;
    // The one whose leases seem to have run out long ago, and the one that must find them.
    workers[1].kill();
    sleep(Duration::from_secs(4)).await;
    for worker in &mut workers {
        worker.has_ended();
    }
    assert_eq!(
        stage
            .count("select count(*) from taskq.task where run_at > now() + interval '20 minutes'")
            .await,
        3,
        "not due, by the clock that counts"
    );
    stage.execute("update taskq.task set run_at = now()").await;
    stage.ends_well().await;
}

/// Postgres's clock decides; of its own, a process asks the monotonic one.
#[test]
fn the_library_does_not_ask_what_time_it_is() {
    fn look(folder: &Path) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                // The launcher of servers for tests.
                true if path.ends_with("testing") => {}
                true => look(&path),
                false => {
                    let text = fs::read_to_string(&path).unwrap_or_default();
                    for clock in ["SystemTime", "Utc::now", "Local::now"] {
                        assert!(!text.contains(clock), "{}: {clock}", path.display());
                    }
                }
            }
        }
    }
    look(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../taskq/src"));
}

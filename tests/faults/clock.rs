//! Workers whose clock is wrong by an hour.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::sleep;

use crate::kill::enqueue_a_mixture;
use crate::stage::{Actor, REPEATABLE, Stage, seed, skip};

/// Finds the library that lies about the time.
pub(crate) fn faketime() -> Option<PathBuf> {
    let places = ["/usr/lib", "/usr/local/lib", "/usr/lib64"];
    let folders = places.iter().flat_map(fs::read_dir).flatten().flatten();
    let folders = folders
        .map(|entry| entry.path())
        .chain(places.map(PathBuf::from));
    folders
        .map(|folder| folder.join("faketime/libfaketimeMT.so.1"))
        .find(|path| path.exists())
}

impl Actor {
    /// Sets its clock off, such as by `+1h`. The monotonic clock goes on as it is, as it does when
    /// somebody sets the time.
    pub(crate) fn with_clock(self, faketime: &Path, offset: &str) -> Self {
        self.set("LD_PRELOAD", faketime.display())
            .set("FAKETIME", offset)
            .set("FAKETIME_DONT_FAKE_MONOTONIC", 1)
            .set("DONT_FAKE_MONOTONIC", 1)
    }
}

#[tokio::test]
async fn all_is_well_where_the_clocks_of_workers_are_wrong_by_an_hour() {
    let Some(faketime) = faketime() else {
        return skip("there is no `libfaketime`, which gives a process a wrong clock");
    };
    seed();
    let stage = Stage::shared().await;
    enqueue_a_mixture(&stage, 30, 20).await;
    // Due in half an hour, which is past for one of them.
    stage.enqueue(REPEATABLE, 3, 0).await;
    stage
        .execute("update taskq.task set run_at = now() + interval '30 minutes' where payload ->> 'takes_ms' = '0'")
        .await;
    let mut workers = [
        stage.worker().with_clock(&faketime, "+1h").start(),
        stage.worker().with_clock(&faketime, "-1h").start(),
        stage.worker().start(),
    ];
    sleep(Duration::from_secs(2)).await;
    // The one whose leases seem to have run out long ago, and the one that must find them.
    workers[1].kill();
    sleep(Duration::from_secs(4)).await;
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

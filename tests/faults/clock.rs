//! Workers whose clock is wrong: by an hour, or by a minute and a half.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use chrono::Utc;
use tokio::time::sleep;

use crate::kill::enqueue_a_mixture;
use crate::stage::{Actor, REPEATABLE, Stage, seed, skip};

/// The library that lies about the time, or why there is none. It is compiled when it is first asked for.
static LIAR: LazyLock<Result<PathBuf, String>> = LazyLock::new(compile);

/// Returns the library that lies about the time; otherwise says that the test, or the part of it, does not take place.
pub(crate) fn liar() -> Option<&'static Path> {
    match &*LIAR {
        Ok(path) => Some(path),
        Err(why) => {
            skip(&format!(
                "no process can be given a wrong clock here: {why}"
            ));
            None
        }
    }
}

fn compile() -> Result<PathBuf, String> {
    if !cfg!(target_os = "linux") {
        return Err("it takes Linux".into());
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("faults/wrong_clock/lib.rs");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = folder.join("libwrong_clock.so");
    let made = folder.join(format!("libwrong_clock.{}.so", std::process::id()));
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(&rustc)
        .args([
            "--edition",
            "2024",
            "--crate-type",
            "cdylib",
            "--crate-name",
            "wrong_clock",
            "-O",
        ])
        .arg(source)
        .arg("-o")
        .arg(&made)
        .output()
        .map_err(|error| format!("{}: {error}", rustc.display()))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    // Another process may be using it.
    fs::rename(made, &path).map_err(|error| error.to_string())?;
    let output = Command::new("date")
        .arg("+%s")
        .env("LD_PRELOAD", &path)
        .env("TASKQ_CLOCK", "-90")
        .output()
        .map_err(|error| format!("date: {error}"))?;
    let told = String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse::<i64>();
    match told.map(|told| Utc::now().timestamp() - told) {
        Ok(85..=95) => Ok(path),
        _ => Err(format!("`date` does not believe it: {output:?}")),
    }
}

impl Actor {
    /// Sets its clock off by so many seconds.
    pub(crate) fn with_clock(self, liar: &Path, seconds: i64) -> Self {
        self.set("LD_PRELOAD", liar.display())
            .set("TASKQ_CLOCK", seconds)
    }
}

#[tokio::test]
async fn all_is_well_where_the_clocks_of_workers_are_wrong_by_an_hour() {
    let Some(liar) = liar() else {
        return;
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
        stage.worker().with_clock(liar, 3_600).start(),
        stage.worker().with_clock(liar, -3_600).start(),
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
                // It compares the clocks, so that a doctor can say which is wrong.
                false if path.ends_with("store/doctor.rs") => {}
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

//! Runs programs in processes of their own, and counts what one of the things that they do costs the process.
//!
//! A program does few of them and then many, and the difference is what so many more cost: the beginning and the end fall away.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use taskq_costs::Program;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::figures::{Figures, Often};
use crate::server::{Database, Server};
use crate::wire::{Traffic, Wire};

/// The hidden command by which this program is the one that is counted.
pub(crate) const COMMAND: &str = "counted";

/// Counts instructions.
const VALGRIND: &str = "valgrind";

/// How long a program may take.
const LIMIT: Duration = Duration::from_secs(600);

/// How often a worker is looked at.
const POLL: Duration = Duration::from_millis(5);

/// For how long a worker does not scan that has nothing to do.
const REST: Duration = Duration::from_millis(250);

/// How often a worker scans from a notification until it has been idle for a moment: when it has claimed the task, and after
/// each of two short pauses. The next pause is long enough to be woken up in it.
const SCANS: i64 = 3;

/// What is counted of a program.
struct Counting {
    name: &'static str,
    program: Program,
    few: u64,
    many: u64,
    /// Whether as many calls are made in each run. A drain claims as much as there is room for, which differs.
    says_the_same: bool,
}

const COUNTED: [Counting; 5] = [
    Counting {
        name: "drain, a task",
        program: Program::Drain,
        few: 4_000,
        many: 20_000,
        says_the_same: false,
    },
    Counting {
        name: "drain in transactions, a task",
        program: Program::Transactional,
        few: 500,
        many: 2_500,
        says_the_same: true,
    },
    Counting {
        name: "enqueue, a task",
        program: Program::Enqueue,
        few: 100,
        many: 1_100,
        says_the_same: true,
    },
    Counting {
        name: "enqueue of 1,000, a task",
        program: Program::EnqueueMany,
        few: 1_000,
        many: 6_000,
        says_the_same: true,
    },
    Counting {
        name: "wake-up",
        program: Program::Wake,
        few: 20,
        many: 100,
        says_the_same: true,
    },
];

/// What a process has done.
struct Done {
    instructions: u64,
    traffic: Traffic,
}

/// Counts all programs, each so often as `often` says. The profiles stay in the folder, if one is given.
pub(crate) async fn count(
    server: &Server,
    profiles: Option<&Path>,
    often: &Often<'_, 2>,
) -> Result<[Figures; 2]> {
    let mut all = [Figures::new(), Figures::new()];
    for counting in &COUNTED {
        let counted = often.count(async || counting.count(server, profiles).await);
        for (all, counted) in all.iter_mut().zip(counted.await?) {
            all.extend(counted);
        }
    }
    Ok(all)
}

impl Counting {
    async fn count(&self, server: &Server, profiles: Option<&Path>) -> Result<[Figures; 2]> {
        let Self {
            name, few, many, ..
        } = *self;
        let before = self.run(server, few, profiles).await?;
        let after = self.run(server, many, profiles).await?;
        let of_one = |before: u64, after: u64| (after as f64 - before as f64) / (many - few) as f64;
        let instructions = of_one(before.instructions, after.instructions);
        let (before, after) = (before.traffic, after.traffic);
        let mut traffic = Figures::new();
        let mut add = |what, figure| traffic.insert(format!("{name}: {what}"), figure);
        add("bytes received", of_one(before.received, after.received));
        if self.says_the_same {
            add("bytes sent", of_one(before.sent, after.sent));
            add("round trips", of_one(before.round_trips, after.round_trips));
        }
        let instructions = Figures::from([(name.to_owned(), instructions)]);
        Ok([instructions, traffic])
    }

    async fn run(&self, server: &Server, times: u64, profiles: Option<&Path>) -> Result<Done> {
        let program = self.program;
        let database = server.database(program.task_type(), times).await?;
        let wire = Wire::open(&database.socket)?;
        let folder = profiles.unwrap_or(wire.folder());
        let profile = folder.join(format!("callgrind.{}.{times}", program.word()));
        let mut command = Command::new(VALGRIND);
        command
            .arg("--tool=callgrind")
            .arg(format!("--callgrind-out-file={}", profile.display()))
            .arg(std::env::current_exe()?);
        let child = start(command, program, times, &database, wire.folder())?;
        if program == Program::Wake {
            wake(&database, times).await?;
        }
        finish(child, VALGRIND).await?;
        let traffic = wire.traffic();
        let instructions = total(&profile)?;
        server.drop_database(database).await?;
        Ok(Done {
            instructions,
            traffic,
        })
    }
}

/// Runs a program as it is, without counting anything of its process.
pub(crate) async fn run(program: Program, times: u64, database: &Database) -> Result<()> {
    let folder = database.socket.parent().context("a folder")?;
    let command = Command::new(std::env::current_exe()?);
    let child = start(command, program, times, database, folder)?;
    finish(child, program.word()).await
}

fn start(
    mut command: Command,
    program: Program,
    times: u64,
    database: &Database,
    folder: &Path,
) -> Result<Child> {
    let started = command
        .args([COMMAND, program.word(), &times.to_string()])
        .env("DATABASE_URL", database.url_at(folder))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    started.with_context(|| {
        let command = command.as_std().get_program().display();
        format!("starting {command}, which `apt-get install valgrind` installs")
    })
}

async fn finish(child: Child, what: &str) -> Result<()> {
    let ended = timeout(LIMIT, child.wait_with_output()).await;
    let output = ended.with_context(|| format!("{what} takes too long"))??;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{what} failed:\n{said}");
    Ok(())
}

/// Enqueues a task each time that the worker has nothing to do, listens, and has scanned as often as it does soon after.
async fn wake(database: &Database, times: u64) -> Result<()> {
    let mut wanted = timeout(LIMIT, scans_at_rest(database))
        .await
        .context("the worker is not idle")??;
    for n in 0..times {
        let began = Instant::now();
        let mut scans = database.scans_while_idle().await?;
        while scans < wanted {
            ensure!(began.elapsed() < LIMIT, "the worker does not become idle");
            sleep(POLL).await;
            scans = database.scans_while_idle().await?;
        }
        wanted = scans + SCANS;
        let enqueue = format!(
            "insert into taskq.task (task_type, payload)
             values ('do_nothing', jsonb_build_object('n', {n}))"
        );
        database.execute(&enqueue).await?;
    }
    Ok(())
}

/// Waits until a worker that has just started pauses, and returns how often it has scanned.
async fn scans_at_rest(database: &Database) -> Result<i64> {
    let (mut scans, mut since) = (0, Instant::now());
    loop {
        let now = database.scans_while_idle().await?;
        if now == 0 || now != scans {
            (scans, since) = (now, Instant::now());
        } else if since.elapsed() > REST {
            return Ok(scans);
        }
        sleep(POLL).await;
    }
}

/// Reads how many instructions callgrind has counted.
fn total(profile: &PathBuf) -> Result<u64> {
    let text = std::fs::read_to_string(profile).context("callgrind wrote nothing")?;
    let mut lines = text.lines();
    let total = lines.find_map(|line| line.strip_prefix("summary: "));
    Ok(total.context("callgrind counted nothing")?.trim().parse()?)
}

//! Worker processes: the bench starts itself again, as workers of one system.
//!
//! A child says `ready`, begins when it is told `go`, and says from then on how many handlers ran.
//! Told to `stop`, it stops its workers and says which tasks it ran. When its parent has gone it
//! ends.

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines, stdin};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{sleep, timeout_at};

use crate::meter::Meter;
use crate::modes::{Bench, until_completed};
use crate::sample::Sample;
use crate::server::Database;
use crate::systems::{self, Handler, System};
use crate::why;

/// The hidden command.
pub const COMMAND: &str = "worker-process";

/// How often a child says how far it is. Sixty-four of them are to leave the processors to the work.
const REPORT: Duration = Duration::from_millis(20);

/// How long children may take to be ready, and to stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// Is the child: works until it is told to stop.
pub async fn work(mut arguments: impl Iterator<Item = String>) -> Result<()> {
    let mut argument = || arguments.next().context("an argument is missing");
    let (name, url, tasks): (_, _, u64) = (argument()?, argument()?, argument()?.parse()?);
    let system = systems::all()
        .into_iter()
        .find(|system| system.name() == name)
        .context("no such system")?;
    let meter = Arc::new(Meter::counting(tasks));
    let mut worker = system.worker(&url, Handler::Nothing, meter.clone()).await?;
    let mut told = BufReader::new(stdin()).lines();
    println!("ready");
    ensure!(
        told.next_line().await?.as_deref() == Some("go"),
        "not told to go"
    );
    worker.run().await?;
    let mut reported = 0;
    loop {
        tokio::select! {
            line = told.next_line() => match line?.as_deref() {
                Some("stop") => break,
                _ => bail!("the parent has gone"),
            },
            () = sleep(REPORT) => {
                let ran = meter.count();
                if ran != reported {
                    println!("{ran}");
                    reported = ran;
                }
            }
        }
    }
    worker.stop().await?;
    meter.check_none_repeated()?;
    let ran = (0..tasks).filter(|number| meter.has_run(*number));
    let ran: Vec<String> = ran.map(|number| number.to_string()).collect();
    println!("ran {}", ran.join(" "));
    Ok(())
}

/// Has the waiting tasks run by so many processes.
pub async fn drain(bench: &Bench<'_>, db: &Database, tasks: u64, count: usize) -> Result<Sample> {
    let (system, limit) = (bench.system, bench.effort.drain_limit);
    let before = db.costs().await?;
    let mut children = Vec::new();
    for _ in 0..count {
        children.push(WorkerProcess::start(system, &db.url, tasks)?);
    }
    let deadline = Instant::now() + PATIENCE;
    for child in &mut children {
        let line = child.line(deadline).await?;
        ensure!(line == "ready", "a worker process said `{line}`");
    }
    let watch = bench.watch(db).await?;
    let began = Instant::now();
    for child in &mut children {
        child.tell("go").await?;
    }
    let all_ran = until_all_ran(&mut children, tasks, began + limit).await?;
    if all_ran {
        until_completed(system, db).await?;
    }
    let (time, ran) = (
        began.elapsed(),
        children.iter().map(|child| child.ran).sum(),
    );
    let why = why::end(watch, db).await?;
    let meter = Meter::counting(tasks);
    for child in &mut children {
        child.stop(&meter).await?;
    }
    meter.check_none_repeated()?;
    if all_ran {
        meter.check_exactly_once(tasks)?;
        let left = system.left(db).await?;
        ensure!(left == 0, "all {tasks} tasks ran, but {left} are left");
    }
    let after = db.costs().await?;
    let sample = Sample::rate(ran, time).costing(before, after);
    Ok(Sample { why, ..sample })
}

async fn until_all_ran(
    children: &mut [WorkerProcess],
    tasks: u64,
    deadline: Instant,
) -> Result<bool> {
    loop {
        let ran: u64 = children.iter().map(|child| child.ran).sum();
        if ran >= tasks {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        let soon = Instant::now() + Duration::from_millis(1);
        for child in &mut *children {
            child.hear(soon).await?;
        }
    }
}

/// One child, seen from the bench.
struct WorkerProcess {
    /// It is killed when this is dropped.
    process: Child,
    told: ChildStdin,
    says: Lines<BufReader<ChildStdout>>,
    ran: u64,
}

impl WorkerProcess {
    fn start(system: &dyn System, url: &str, tasks: u64) -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args([COMMAND, system.name(), url, &tasks.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let told = process.stdin.take().context("stdin is piped")?;
        let says = process.stdout.take().context("stdout is piped")?;
        Ok(Self {
            process,
            told,
            says: BufReader::new(says).lines(),
            ran: 0,
        })
    }

    async fn tell(&mut self, what: &str) -> Result<()> {
        self.told.write_all(format!("{what}\n").as_bytes()).await?;
        Ok(self.told.flush().await?)
    }

    async fn line(&mut self, deadline: Instant) -> Result<String> {
        timeout_at(deadline.into(), self.says.next_line())
            .await
            .context("a worker process is silent")??
            .context("a worker process has ended")
    }

    /// Takes in what the child says until then.
    async fn hear(&mut self, until: Instant) -> Result<()> {
        while let Ok(line) = timeout_at(until.into(), self.says.next_line()).await {
            self.ran = line?.context("a worker process has ended")?.parse()?;
        }
        Ok(())
    }

    /// Stops the child and marks what it ran.
    async fn stop(&mut self, meter: &Meter) -> Result<()> {
        self.tell("stop").await?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = self.line(deadline).await?;
            if let Some(ran) = line.strip_prefix("ran") {
                for number in ran.split_whitespace() {
                    meter.ran(number.parse()?);
                }
                break;
            }
        }
        let status = self.process.wait().await?;
        ensure!(status.success(), "a worker process ended with {status}");
        Ok(())
    }
}

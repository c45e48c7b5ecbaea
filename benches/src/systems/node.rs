//! The peers that are written for Node: each in a process of its own, which does what it is told.

use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;
use std::process::{Command as StdCommand, Stdio};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use async_trait::async_trait;
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{Ballast, Client, Family, Handler, System, Worker};
use crate::meter::Meter;
use crate::modes::Mode;
use crate::server::Database;

/// The oldest Node that both of them support.
const OLDEST_NODE: u64 = 22;

/// How long a process may take for one command.
const PATIENCE: Duration = Duration::from_secs(60);

/// Connections of the process that enqueues, as many as there are clients at the most.
const CLIENT_POOL: usize = 32;
const WORKER_POOL: usize = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Package {
    Graphile,
    Boss,
}

#[derive(Debug)]
pub struct Node {
    package: Package,
    /// The process that all clients of a database share, while there are any.
    clients: Mutex<Weak<Process>>,
}

impl Node {
    pub fn graphile() -> Self {
        Self::of(Package::Graphile)
    }

    pub fn boss() -> Self {
        Self::of(Package::Boss)
    }

    fn of(package: Package) -> Self {
        Self {
            package,
            clients: Mutex::default(),
        }
    }

    fn module(&self) -> &'static str {
        match self.package {
            Package::Graphile => "graphile-worker",
            Package::Boss => "pg-boss",
        }
    }

    async fn shared(&self, url: &str) -> Result<Arc<Process>> {
        let running = self
            .clients
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .upgrade()
            .filter(|process| process.url == url);
        if let Some(running) = running {
            return Ok(running);
        }
        let meter = Arc::new(Meter::counting(0));
        let process = Process::start(self.module(), url, Handler::Nothing, CLIENT_POOL, meter)?;
        process.tell(json!({ "do": "prepare" })).await?;
        *self.clients.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&process);
        Ok(process)
    }
}

/// Says why nothing for Node is measured, if it is not; and fetches the packages, once.
fn unavailable() -> Option<&'static str> {
    static REASON: OnceLock<Option<String>> = OnceLock::new();
    let prepare = || -> Result<()> {
        let version = StdCommand::new("node")
            .arg("--version")
            .output()
            .context("there is no Node")?;
        let version = String::from_utf8_lossy(&version.stdout);
        let major = version.trim().trim_start_matches('v').split('.').next();
        let major: u64 = major.unwrap_or_default().parse().unwrap_or(0);
        ensure!(
            major >= OLDEST_NODE,
            "Node {OLDEST_NODE} or newer is needed; here is {}",
            version.trim()
        );
        if !folder().join("node_modules").exists() {
            eprintln!("fetching the packages for Node");
            let install = StdCommand::new("npm")
                .args(["install", "--no-package-lock", "--no-audit", "--no-fund"])
                .current_dir(folder())
                .stdout(Stdio::null())
                .output()
                .context("there is no npm")?;
            ensure!(
                install.status.success(),
                "its packages could not be installed"
            );
        }
        Ok(())
    };
    REASON
        .get_or_init(|| prepare().err().map(|error| format!("{error:#}")))
        .as_deref()
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("node")
}

#[async_trait]
impl System for Node {
    fn name(&self) -> &'static str {
        match self.package {
            Package::Graphile => "graphile (Node)",
            Package::Boss => "pg-boss",
        }
    }

    fn family(&self) -> Family {
        Family::Peer
    }

    fn settings(&self) -> String {
        match self.package {
            Package::Graphile => format!(
                "graphile-worker 0.18: 256 concurrent, local queue of 2,000, completions batched for \
                 5 ms, pool of {WORKER_POOL}; clients share one process; a handler that inserts does \
                 so in a transaction of its own"
            ),
            Package::Boss => format!(
                "pg-boss 12: 4 workers, batches of 1,000, woken by its listener, pool of \
                 {WORKER_POOL}; clients share one process; a handler that inserts does so in a \
                 transaction of its own"
            ),
        }
    }

    fn absent_from(&self, mode: &Mode) -> Option<&'static str> {
        match mode {
            Mode::Growth(_) => Some("growth is measured of the systems for Rust"),
            _ => unavailable(),
        }
    }

    async fn set_up(&self, db: &Database) -> Result<()> {
        let meter = Arc::new(Meter::counting(0));
        let process = Process::start(self.module(), &db.url, Handler::Nothing, 2, meter)?;
        process.tell(json!({ "do": "setUp" })).await?;
        process.end().await
    }

    fn preload(&self, _handler: Handler, numbers: Range<u64>) -> String {
        let (first, end) = (numbers.start, numbers.end);
        match self.package {
            Package::Graphile => format!(
                "insert into graphile_worker._private_jobs (task_id, payload)
                 select tasks.id, json_build_object('n', n)
                 from graphile_worker._private_tasks as tasks,
                      generate_series({first}::bigint, {end}::bigint - 1) as n
                 where tasks.identifier = 'bench'"
            ),
            Package::Boss => format!(
                "insert into pgboss.job (name, data, policy)
                 select 'bench', jsonb_build_object('n', n), 'standard'
                 from generate_series({first}::bigint, {end}::bigint - 1) as n"
            ),
        }
    }

    fn ballast(&self, _ballast: Ballast, _rows: u64) -> Option<String> {
        None
    }

    async fn client(&self, db: &Database) -> Result<Box<dyn Client>> {
        Ok(Box::new(NodeClient(self.shared(&db.url).await?)))
    }

    async fn worker(
        &self,
        url: &str,
        handler: Handler,
        meter: Arc<Meter>,
    ) -> Result<Box<dyn Worker>> {
        let process = Process::start(self.module(), url, handler, WORKER_POOL, meter)?;
        process.tell(json!({ "do": "prepare" })).await?;
        Ok(Box::new(NodeWorker(process)))
    }

    async fn is_completing(&self, db: &Database) -> Result<bool> {
        Ok(self.left(db).await? > 0)
    }

    async fn left(&self, db: &Database) -> Result<u64> {
        db.count(match self.package {
            Package::Graphile => "select count(*) from graphile_worker._private_jobs",
            Package::Boss => {
                "select count(*) from pgboss.job where name = 'bench' and state <> 'completed'"
            }
        })
        .await
    }
}

struct NodeClient(Arc<Process>);

#[async_trait]
impl Client for NodeClient {
    async fn enqueue(&mut self, number: u64) -> Result<()> {
        self.0.tell(json!({ "do": "enqueue", "n": number })).await
    }

    async fn enqueue_many(&mut self, numbers: Range<u64>) -> Result<()> {
        let (first, end) = (numbers.start, numbers.end);
        self.0
            .tell(json!({ "do": "enqueueMany", "first": first, "end": end }))
            .await
    }
}

struct NodeWorker(Arc<Process>);

#[async_trait]
impl Worker for NodeWorker {
    async fn run(&mut self) -> Result<()> {
        self.0.tell(json!({ "do": "work" })).await
    }

    async fn stop(&mut self) -> Result<()> {
        self.0.tell(json!({ "do": "stop" })).await?;
        self.0.end().await
    }
}

type Answers = Arc<Mutex<HashMap<u64, oneshot::Sender<Result<(), String>>>>>;

/// A driver, and what is still to be answered by it.
#[derive(Debug)]
struct Process {
    url: String,
    /// Killed when this is dropped.
    child: tokio::sync::Mutex<Child>,
    commands: tokio::sync::Mutex<Option<ChildStdin>>,
    next: AtomicU64,
    answers: Answers,
}

impl Process {
    fn start(
        module: &str,
        url: &str,
        handler: Handler,
        connections: usize,
        meter: Arc<Meter>,
    ) -> Result<Arc<Self>> {
        let options = PgConnectOptions::from_str(url)?;
        let host = match options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => options.get_host().to_owned(),
        };
        let handler = match handler {
            Handler::Nothing => "nothing",
            Handler::Waits => "waits",
            Handler::Inserts => "inserts",
        };
        let mut child = Command::new("node")
            .arg(folder().join("driver.mjs"))
            .args([module, handler, &connections.to_string()])
            .env("PGHOST", host)
            .env("PGPORT", options.get_port().to_string())
            .env("PGUSER", options.get_username())
            .env("PGDATABASE", options.get_database().unwrap_or_default())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let commands = child.stdin.take().context("stdin is piped")?;
        let says = child.stdout.take().context("stdout is piped")?;
        let answers = Answers::default();
        tokio::spawn(hear(says, answers.clone(), meter));
        Ok(Arc::new(Self {
            url: url.to_owned(),
            child: tokio::sync::Mutex::new(child),
            commands: tokio::sync::Mutex::new(Some(commands)),
            next: AtomicU64::new(0),
            answers,
        }))
    }

    /// Has a command done.
    async fn tell(&self, mut command: Value) -> Result<()> {
        let id = self.next.fetch_add(1, Relaxed);
        command["id"] = id.into();
        let (answer, answered) = oneshot::channel();
        self.answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, answer);
        let line = format!("{command}\n");
        match &mut *self.commands.lock().await {
            Some(commands) => commands.write_all(line.as_bytes()).await?,
            None => bail!("the process has been ended"),
        }
        timeout(PATIENCE, answered)
            .await
            .with_context(|| format!("no answer to {command}"))?
            .context("the process has ended")?
            .map_err(|error| anyhow!("{command}: {error}"))
    }

    async fn end(&self) -> Result<()> {
        drop(self.commands.lock().await.take());
        timeout(PATIENCE, self.child.lock().await.wait()).await??;
        Ok(())
    }
}

/// Takes in what a process says, until it ends.
async fn hear(says: ChildStdout, answers: Answers, meter: Arc<Meter>) {
    let mut lines = BufReader::new(says).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let (what, rest) = line.split_once(' ').unwrap_or((&line, ""));
        if what == "ran" {
            rest.split(' ')
                .filter_map(|number| number.parse().ok())
                .for_each(|number| meter.ran(number));
            continue;
        }
        let (id, why) = rest.split_once(' ').unwrap_or((rest, ""));
        let answer = id.parse().ok().and_then(|id| {
            answers
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&id)
        });
        match (what, answer) {
            // Whoever asked may have stopped waiting.
            ("done", Some(answer)) => drop(answer.send(Ok(()))),
            ("failed", Some(answer)) => drop(answer.send(Err(why.to_owned()))),
            _ => eprintln!("a process for Node said: {line}"),
        }
    }
    // Nobody will answer any more.
    answers
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clear();
}

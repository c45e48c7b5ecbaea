//! PgBouncer between, in transaction mode: a worker that polls works through it, and so do enqueues,
//! if it is one that knows prepared statements.

use std::env;
use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use sqlx::{Connection, PgConnection};

use crate::kill::enqueue_a_mixture;
use crate::stage::{Finale, ONCE, Stage, seed, skip, until};

/// The oldest that knows prepared statements in transaction mode.
const OLDEST: (u32, u32) = (1, 21);

/// The file in its folder.
const SETTINGS: &str = "pgbouncer.ini";

/// The user that it becomes instead of root.
const NOBODY: u32 = 65_534;

/// A running PgBouncer, which ends with this value.
pub(crate) struct Bouncer {
    child: Child,
    port: u16,
    folder: PathBuf,
}

impl Bouncer {
    /// Starts one in front of a server, where all are this user, or says why that is not possible.
    pub(crate) async fn start(stage: &Stage, user: &str) -> Result<Self, String> {
        let version = version()?;
        if version < OLDEST {
            let ((major, minor), (oldest_major, oldest_minor)) = (version, OLDEST);
            return Err(format!(
                "this PgBouncer is {major}.{minor}, and knows prepared statements in transaction mode from {oldest_major}.{oldest_minor} on"
            ));
        }
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .map_err(|error| error.to_string())?
            .port();
        let folder = env::temp_dir().join(format!("taskq-bouncer-{:016x}", fastrand::u64(..)));
        fs::create_dir(&folder).map_err(|error| error.to_string())?;
        let socket = stage.socket();
        let server = socket.parent().unwrap_or(&socket).display();
        let settings = format!(
            "[databases]
             * = host={server} port=5432 user={user}
             [pgbouncer]
             listen_addr = 127.0.0.1
             listen_port = {port}
             unix_socket_dir =
             auth_type = any
             pool_mode = transaction
             default_pool_size = 8
             max_client_conn = 200
             max_prepared_statements = 200
             server_login_retry = 1
             ignore_startup_parameters = extra_float_digits
            "
        );
        let settings: String = settings
            .lines()
            .map(|line| format!("{}\n", line.trim()))
            .collect();
        fs::write(folder.join(SETTINGS), settings).map_err(|error| error.to_string())?;
        if rustix::process::geteuid().is_root() {
            chown(&folder, Some(NOBODY), Some(NOBODY)).map_err(|error| error.to_string())?;
        }
        let child = spawn(&folder).map_err(|error| error.to_string())?;
        let bouncer = Self {
            child,
            port,
            folder,
        };
        bouncer.answers().await;
        Ok(bouncer)
    }

    /// Kills it, and starts another in its place.
    pub(crate) fn restart(&mut self) {
        self.end();
        self.child = spawn(&self.folder).expect("started");
    }

    async fn answers(&self) {
        let url = self.url();
        until("PgBouncer answers", async || {
            PgConnection::connect(&url).await.is_ok()
        })
        .await;
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }
}

fn spawn(folder: &Path) -> io::Result<Child> {
    let mut command = Command::new("pgbouncer");
    if rustix::process::geteuid().is_root() {
        // It refuses to be root, and the server's socket is open to all.
        command.args(["-u", "nobody"]);
    }
    let log = File::options()
        .create(true)
        .append(true)
        .open(folder.join("log"))?;
    command
        .arg(folder.join(SETTINGS))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
}

fn version() -> Result<(u32, u32), String> {
    let output = Command::new("pgbouncer")
        .arg("--version")
        .output()
        .map_err(|error| format!("there is no `pgbouncer`: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split_whitespace().nth(1).and_then(|version| {
        let mut numbers = version.split('.').map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    });
    version.ok_or(format!("`pgbouncer` does not say its version: {text}"))
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        self.end();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[tokio::test]
async fn all_is_well_through_a_pooler_in_transaction_mode() {
    seed();
    let stage = Stage::own().await;
    let bouncer = match Bouncer::start(&stage, "postgres").await {
        Ok(bouncer) => bouncer,
        Err(why) => return skip(&why),
    };
    let worker = || {
        stage
            .worker()
            .set("DATABASE_URL", bouncer.url())
            .set("LISTEN", false)
    };
    let mut workers = Vec::from_iter((0..3).map(|_| worker().start()));
    for round in 1..=4 {
        enqueue_a_mixture(&stage, 20, 20).await;
        let mut db = PgConnection::connect(&bouncer.url())
            .await
            .expect("connected");
        let enqueued = stage.enqueue_on(&mut db, ONCE, 5, 20, Finale::Commit);
        enqueued.await.expect("enqueued through it");
        stage.at_least(20 * round).await;
        let victim = fastrand::usize(..workers.len());
        workers[victim].kill();
        workers[victim] = worker().start();
    }
    stage.ends_well().await;
}

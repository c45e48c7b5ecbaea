//! A running server in a directory: joined if it runs, started if it does not.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{Connection, PgConnection};
use tokio::time::sleep;

use super::binaries::Binaries;
use super::command::{as_server_user, run};
use super::folders::owned;
use crate::testing::error::{ClusterError, at};

/// The program that keeps a server alive, and ends it with its last user.
const WATCHDOG: &str = include_str!("watchdog.sh");

/// How long a server may take to start: it may have to recover from a crash first.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How long a watchdog may take to answer. It answers at once, unless it is about to end.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// How long a server that lost its last user may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// The path of a unix socket may have 103 bytes at the least common system.
const LONGEST_SOCKET_PATH: usize = 103;

const POLL: Duration = Duration::from_millis(20);

/// How a server treats its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// For ever, and safe from crashes.
    Lasting,
    /// Until its last user has ended, and safe from crashes.
    Durable,
    /// Until its last user has ended, and fast.
    Fleeting,
}

/// This process's share in a running server.
#[derive(Debug)]
pub(crate) struct Server {
    folder: PathBuf,
    /// The open end of the watchdog's pipe. Rust opens files so that child processes do not
    /// inherit them.
    users: File,
}

impl Server {
    /// Joins the server that runs in `folder`, or starts one. `lock_path` is the file under whose
    /// lock that is done.
    pub(crate) async fn join_or_start(
        folder: &Path,
        lock_path: &Path,
        binaries: &Binaries,
        keeping: Keeping,
    ) -> Result<Self, ClusterError> {
        let socket = folder.join(".s.PGSQL.5432");
        if socket.as_os_str().len() > LONGEST_SOCKET_PATH {
            return at(
                &socket,
                Err(io::Error::other("too long for the path of a socket")),
            );
        }
        let lock = at(lock_path, File::create(lock_path))?;
        let lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock))
            .await
            .map_err(io::Error::other)
            .flatten();
        let _lock = at(lock_path, lock)?;
        let began = Instant::now();
        loop {
            match Self::join(folder).await? {
                Some(server) => return Ok(server),
                None if is_running(folder) && began.elapsed() < STOP_LIMIT => sleep(POLL).await,
                None => break,
            }
        }
        Self::start(folder, binaries, keeping).await
    }

    /// Becomes a user of the server, if its watchdog answers.
    async fn join(folder: &Path) -> Result<Option<Self>, ClusterError> {
        let path = folder.join("users");
        let users = OpenOptions::new()
            .write(true)
            // Without a reader this fails, in place of waiting for one.
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open(&path);
        let Ok(users) = users else {
            return Ok(None);
        };
        let server = Self {
            folder: folder.to_owned(),
            users,
        };
        let id = uuid::Uuid::new_v4().to_string();
        if server.tell(&id).is_err() {
            return Ok(None);
        }
        let began = Instant::now();
        while !folder.join("seen").join(&id).exists() {
            if began.elapsed() > ANSWER_LIMIT {
                return Ok(None);
            }
            sleep(POLL).await;
        }
        Ok(Some(server))
    }

    /// Starts a server in `folder`, in which none runs.
    pub(crate) async fn start(
        folder: &Path,
        binaries: &Binaries,
        keeping: Keeping,
    ) -> Result<Self, ClusterError> {
        // The watchdog may have been killed, and have left the server behind.
        signal(folder, Signal::QUIT);
        let began = Instant::now();
        while is_running(folder) && began.elapsed() < STOP_LIMIT {
            sleep(POLL).await;
        }
        if keeping != Keeping::Lasting {
            let _ = fs::remove_dir_all(folder);
        }
        owned(folder)?;
        for leftover in ["users", "seen"] {
            let path = folder.join(leftover);
            let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
        }
        owned(&folder.join("seen"))?;
        run(as_server_user("mkfifo")
            .arg("-m")
            .arg("600")
            .arg(folder.join("users")))?;
        init(folder, binaries)?;

        let after = if keeping == Keeping::Lasting {
            "keep"
        } else {
            "remove"
        };
        let mut watchdog = as_server_user("sh");
        binaries.set_libraries(&mut watchdog);
        watchdog
            .args(["-c", WATCHDOG, "taskq-postgres"])
            .arg(folder)
            .arg(after)
            .arg(binaries.path("postgres"))
            .args(arguments(folder, keeping))
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let spawned = watchdog.spawn();
        drop(at(Path::new("sh"), spawned)?);

        let began = Instant::now();
        loop {
            if let Some(server) = Self::join(folder).await? {
                server.ready().await?;
                return Ok(server);
            }
            if began.elapsed() > START_LIMIT {
                return Err(start_error(folder));
            }
            sleep(POLL).await;
        }
    }

    /// Waits until the server takes connections.
    pub(crate) async fn ready(&self) -> Result<(), ClusterError> {
        let began = Instant::now();
        loop {
            match self.connect().await {
                Ok(()) => return Ok(()),
                Err(_) if began.elapsed() > START_LIMIT => return Err(start_error(&self.folder)),
                // A server that does not accept its configuration ends at once.
                Err(_) if began.elapsed() > ANSWER_LIMIT && !is_running(&self.folder) => {
                    return Err(start_error(&self.folder));
                }
                Err(_) => sleep(POLL).await,
            }
        }
    }

    async fn connect(&self) -> Result<(), sqlx::Error> {
        let options = self.connect_options("postgres");
        PgConnection::connect_with(&options).await?.close().await
    }

    pub(crate) fn connect_options(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.folder)
            .port(5432)
            // Whatever `PGSSLMODE` says of other servers.
            .ssl_mode(PgSslMode::Disable)
            .username("postgres")
            .database(database)
    }

    /// Returns the address of a database, as any program of Postgres takes it.
    pub(crate) fn url(&self, database: &str) -> String {
        let folder = escaped(&self.folder.to_string_lossy());
        let database = escaped(database);
        format!("postgres:///{database}?host={folder}&port=5432&user=postgres&sslmode=disable")
    }

    /// Kills the server as a crash would, and waits until it is gone.
    pub(crate) async fn kill(&self) -> Result<(), ClusterError> {
        let began = Instant::now();
        signal(&self.folder, Signal::KILL);
        while is_running(&self.folder) {
            if began.elapsed() > STOP_LIMIT {
                return Err(start_error(&self.folder));
            }
            sleep(POLL).await;
        }
        Ok(())
    }

    /// Has the watchdog start the server anew.
    pub(crate) async fn restart(&self) -> Result<(), ClusterError> {
        let began = Instant::now();
        // The new server ends at once for as long as processes of the killed one are still there.
        while began.elapsed() < START_LIMIT {
            at(&self.folder, self.tell("start"))?;
            let told = Instant::now();
            while told.elapsed() < ANSWER_LIMIT {
                if self.connect().await.is_ok() {
                    return Ok(());
                }
                sleep(POLL).await;
            }
            if is_running(&self.folder) {
                return self.ready().await;
            }
        }
        Err(start_error(&self.folder))
    }

    fn tell(&self, line: &str) -> io::Result<()> {
        (&self.users).write_all(format!("{line}\n").as_bytes())
    }
}

fn arguments(folder: &Path, keeping: Keeping) -> Vec<String> {
    let mut arguments = vec![
        "-D".to_owned(),
        folder.join("data").display().to_string(),
        "-k".to_owned(),
        folder.display().to_string(),
    ];
    // A server that keeps its data is also the one that people measure: it has Postgres's own defaults.
    let (safe, buffers) = match keeping {
        Keeping::Fleeting => ("off", "64MB"),
        Keeping::Lasting | Keeping::Durable => ("on", "128MB"),
    };
    // Sixty-four worker processes of a measurement have some six each.
    let connections = match keeping {
        Keeping::Fleeting | Keeping::Lasting => 300,
        Keeping::Durable => 600,
    };
    for setting in [
        "listen_addresses=".to_owned(),
        "unix_socket_permissions=0700".to_owned(),
        format!("max_connections={connections}"),
        format!("shared_buffers={buffers}"),
        // In the cluster's directory, and removed with it.
        "dynamic_shared_memory_type=mmap".to_owned(),
        format!("fsync={safe}"),
        format!("synchronous_commit={safe}"),
        format!("full_page_writes={safe}"),
    ] {
        arguments.push("-c".to_owned());
        arguments.push(setting);
    }
    arguments
}

/// Makes the data directory, unless it is there. A directory whose making was interrupted is made anew.
fn init(folder: &Path, binaries: &Binaries) -> Result<(), ClusterError> {
    let data = folder.join("data");
    if data.exists() {
        return Ok(());
    }
    let making = folder.join("data.making");
    let _ = fs::remove_dir_all(&making);
    run(binaries
        .command("initdb")
        .args(["--username=postgres", "--auth=trust", "--encoding=UTF8"])
        .args(["--locale=C", "--no-sync", "--no-instructions"])
        .arg("--pgdata")
        .arg(&making))?;
    at(&data, fs::rename(&making, &data))
}

fn pid(folder: &Path) -> Option<Pid> {
    let text = fs::read_to_string(folder.join("data/postmaster.pid")).ok()?;
    Pid::from_raw(text.lines().next()?.trim().parse().ok()?)
}

fn is_running(folder: &Path) -> bool {
    server_of(folder).is_some()
}

/// Returns the process that runs this cluster. After a reboot the file may name any other.
fn server_of(folder: &Path) -> Option<Pid> {
    let pid = pid(folder).filter(|pid| test_kill_process(*pid).is_ok())?;
    let number = pid.as_raw_nonzero().to_string();
    let command = match fs::read(format!("/proc/{number}/cmdline")) {
        Ok(command) => command,
        Err(_) => {
            Command::new("ps")
                .args(["-o", "command=", "-p", &number])
                .output()
                .ok()?
                .stdout
        }
    };
    String::from_utf8_lossy(&command)
        .contains(&*folder.to_string_lossy())
        .then_some(pid)
}

fn signal(folder: &Path, signal: Signal) {
    if let Some(pid) = server_of(folder) {
        // It may be gone already.
        let _ = kill_process(pid, signal);
    }
}

/// Writes characters that have a meaning in an address as `%` and their number.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_.-".contains(&byte);
    text.bytes()
        .map(|byte| {
            if plain(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

fn start_error(folder: &Path) -> ClusterError {
    let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    ClusterError::Start {
        log: lines[lines.len().saturating_sub(20)..].join("\n"),
    }
}

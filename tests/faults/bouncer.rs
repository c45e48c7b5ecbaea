//! PgBouncer between, in transaction mode: a worker that polls works through it.

use std::env;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use sqlx::{Connection, PgConnection};

use crate::kill::enqueue_a_mixture;
use crate::stage::{Stage, seed, skip, until};

/// A running PgBouncer, which ends with this value.
pub(crate) struct Bouncer {
    child: Child,
    port: u16,
    folder: PathBuf,
}

impl Bouncer {
    /// Starts one in front of a server, or says why that is not possible.
    pub(crate) async fn start(stage: &Stage) -> Result<Self, String> {
        let is_there = Command::new("pgbouncer").arg("--version").output();
        if let Err(error) = is_there {
            return Err(format!("there is no `pgbouncer`: {error}"));
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
             * = host={server} port=5432 user=postgres
             [pgbouncer]
             listen_addr = 127.0.0.1
             listen_port = {port}
             unix_socket_dir =
             auth_type = any
             pool_mode = transaction
             default_pool_size = 8
             max_client_conn = 200
             ignore_startup_parameters = extra_float_digits
            "
        );
        let settings: String = settings
            .lines()
            .map(|line| format!("{}\n", line.trim()))
            .collect();
        let path = folder.join("pgbouncer.ini");
        fs::write(&path, settings).map_err(|error| error.to_string())?;
        let mut command = Command::new("pgbouncer");
        if rustix::process::geteuid().is_root() {
            // It refuses to be root, and the server's socket belongs to this user.
            command.args(["-u", "nobody"]);
            chown(&folder, Some(65_534), Some(65_534)).map_err(|error| error.to_string())?;
        }
        let log = fs::File::create(folder.join("log")).map_err(|error| error.to_string())?;
        let child = command
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| error.to_string())?;
        let bouncer = Self {
            child,
            port,
            folder,
        };
        let url = bouncer.url();
        until("PgBouncer answers", async || {
            PgConnection::connect(&url).await.is_ok()
        })
        .await;
        Ok(bouncer)
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[tokio::test]
async fn all_is_well_through_a_pooler_in_transaction_mode() {
    seed();
    let stage = Stage::own().await;
    let bouncer = match Bouncer::start(&stage).await {
        Ok(bouncer) => bouncer,
        Err(why) => return skip(&why),
    };
    let worker = || {
        stage
            .worker()
            .set("DATABASE_URL", bouncer.url())
            .set("LISTEN", false)
            .set("STATEMENT_CACHE", 0)
    };
    let mut workers = Vec::from_iter((0..3).map(|_| worker().start()));
    for _ in 0..4 {
        enqueue_a_mixture(&stage, 20, 20).await;
        stage.at_least(20).await;
        let victim = fastrand::usize(..workers.len());
        workers[victim].kill();
        workers[victim] = worker().start();
    }
    stage.ends_well().await;
}

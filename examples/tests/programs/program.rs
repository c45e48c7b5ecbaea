//! Runs an example as a user would: the built program, in a process of its own.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// How long anything here may take. Much longer than it does, because machines can be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running example. It is killed when this is dropped, which is also when a test has failed.
pub(crate) struct Program {
    name: String,
    child: Child,
    /// What it has written so far, to both of its outputs.
    written: Arc<Mutex<String>>,
    /// What of that was on standard output.
    printed: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Program {
    /// Starts the example on the database at `url`.
    pub(crate) fn start(name: &str, arguments: &[&str], url: &str) -> Self {
        let path = path_of(name);
        let mut child = Command::new(&path)
            .args(arguments)
            .env("DATABASE_URL", url)
            .env("ADDR", "127.0.0.1:0")
            .env_remove("SMTP_URL")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| {
                panic!(
                    "{}: {error}; `cargo build --examples` makes it",
                    path.display()
                )
            });
        let written = Arc::default();
        let printed = Arc::default();
        let readers = vec![
            read(child.stdout.take().unwrap(), [&written, &printed]),
            read(child.stderr.take().unwrap(), [&written]),
        ];
        Self {
            name: name.to_owned(),
            child,
            written,
            printed,
            readers,
        }
    }

    /// Waits until it has written a line with `text` in it, and returns that line.
    pub(crate) async fn line_with(&mut self, text: &str) -> String {
        let found = async {
            loop {
                if let Some(line) = self.written().lines().find(|line| line.contains(text)) {
                    return line.to_owned();
                }
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, found)
            .await
            .unwrap_or_else(|_| panic!("{} never wrote `{text}`", self.name))
    }

    /// Waits until it ends by itself, and returns all that it wrote.
    pub(crate) async fn output(mut self) -> String {
        let status = self.end().await;
        assert!(status.success(), "{} ended with {status}", self.name);
        self.written()
    }

    /// Waits until it ends by itself, and returns what it wrote to standard output.
    pub(crate) async fn printed(mut self) -> String {
        let status = self.end().await;
        assert!(status.success(), "{} ended with {status}", self.name);
        text_of(&self.printed)
    }

    /// Does what Ctrl-C does, and waits for the end.
    pub(crate) async fn interrupt(mut self) -> ExitStatus {
        let id = self.child.id().expect("still running");
        let sent = Command::new("sh")
            .arg("-c")
            .arg(format!("kill -INT {id}"))
            .status()
            .await;
        assert!(sent.unwrap().success());
        self.end().await
    }

    async fn end(&mut self) -> ExitStatus {
        let ended = timeout(PATIENCE, self.child.wait()).await;
        let status = ended
            .unwrap_or_else(|_| panic!("{} did not end", self.name))
            .unwrap();
        for reader in self.readers.drain(..) {
            reader.await.unwrap();
        }
        status
    }

    pub(crate) fn written(&self) -> String {
        text_of(&self.written)
    }
}

fn text_of(written: &Mutex<String>) -> String {
    let written = written.lock().unwrap_or_else(PoisonError::into_inner);
    written.clone()
}

impl Drop for Program {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- {} wrote:\n{}---", self.name, self.written());
        }
    }
}

/// The examples stand beside the folder of the test binaries: `target/debug/examples/signup` beside
/// `target/debug/deps/signup-…`.
pub(crate) fn path_of(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().with_file_name("examples").join(name)
}

fn read<const N: usize>(
    output: impl AsyncRead + Unpin + Send + 'static,
    into: [&Arc<Mutex<String>>; N],
) -> JoinHandle<()> {
    let into = into.map(Arc::clone);
    tokio::spawn(async move {
        let mut lines = BufReader::new(output).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            for text in &into {
                let mut text = text.lock().unwrap_or_else(PoisonError::into_inner);
                text.push_str(&line);
                text.push('\n');
            }
        }
    })
}

/// Waits until `get` gives something.
pub(crate) async fn wait_for<T>(what: &str, mut get: impl AsyncFnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            match get().await {
                Some(found) => return found,
                None => sleep(Duration::from_millis(20)).await,
            }
        }
    };
    timeout(PATIENCE, found)
        .await
        .unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

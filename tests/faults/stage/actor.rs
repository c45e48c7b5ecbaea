//! Worker processes: started, signalled, and killed with their test.

use std::fs::{self, File};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::wait::until;

/// A worker process, not started yet.
pub(crate) struct Actor(Command, File);

impl Actor {
    pub(super) fn new(command: Command, log: File) -> Self {
        Self(command, log)
    }

    pub(crate) fn set(mut self, name: &str, value: impl ToString) -> Self {
        self.0.env(name, value.to_string());
        self
    }

    pub(crate) fn start(mut self) -> Running {
        Running(self.0.stderr(self.1).spawn().expect("the worker starts"))
    }

    /// Starts it through another program, such as one that changes its surroundings.
    pub(crate) fn start_through(self, program: &[&str]) -> Running {
        let mut outer = Command::new(program[0]);
        outer.args(&program[1..]).arg(self.0.get_program());
        for (name, value) in self.0.get_envs() {
            match value {
                Some(value) => outer.env(name, value),
                None => outer.env_remove(name),
            };
        }
        outer
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(self.1);
        Running(outer.spawn().expect("the worker starts"))
    }
}

/// A worker process, killed with the test if it is still there.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.0);
        // It may have ended.
        let _ = kill_process(pid, signal);
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    pub(crate) fn has_ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().expect("a child")
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        until("ended", async || {
            status = self.has_ended();
            status.is_some()
        })
        .await;
        status.expect("it has ended")
    }

    /// Waits until the process has been stopped by SIGSTOP.
    pub(crate) async fn stopped(&self) {
        until("stopped", async || self.is_stopped()).await;
    }

    pub(crate) fn is_stopped(&self) -> bool {
        let path = format!("/proc/{}/stat", self.0.id());
        let stat = fs::read_to_string(path).unwrap_or_default();
        let state = stat.rsplit(')').next().unwrap_or_default();
        state.trim_start().starts_with('T')
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

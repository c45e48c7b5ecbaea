//! Lines of attempts in processes of their own: beside each other, of one that is killed, and of one that has lost its lease.

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use sqlx::PgPool;
use taskq::operate::AttemptLog;
use taskq::task;

use super::{logs, messages};
use crate::support::{database, execute, one, states, until};

/// As the other program has it.
#[task(max_attempts = 5)]
async fn logs_on(n: i64, until: String, fails: bool) {
    let _ = (n, until, fails);
}

/// A worker in a process of its own, killed with the test.
struct Process(Child);

impl Process {
    fn start(url: &str, lease_seconds: u32) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_logged"));
        command.env("DATABASE_URL", url);
        command.env("LEASE_SECONDS", lease_seconds.to_string());
        command.stdin(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().expect("the worker starts"))
    }

    fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(self.0.id().cast_signed()).expect("it runs");
        kill_process(id, signal).expect("told");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn enqueue(pool: &PgPool, n: i64, until: &str, fails: bool) -> i64 {
    let mut db = pool.acquire().await.expect("a connection");
    let task = LogsOn::enqueue(&mut db, n, until.into(), fails).await;
    task.expect("enqueued").task_id
}

/// Returns which process has logged the lines, and which task's they are, if each line is there once and in order.
fn of_whom(log: &AttemptLog) -> (u64, i64) {
    // Not what taskq says of an attempt that it stops, or sqlx of a slow connection.
    let of_handler = || (log.lines.iter()).filter(|line| line.fields.contains_key("process"));
    let said: Vec<_> = of_handler().map(|line| line.message.clone()).collect();
    let numbers: Vec<_> = (1..=said.len()).map(|n| n.to_string()).collect();
    assert_eq!((said, log.dropped), (numbers, 0));
    let whose = of_handler().map(|line| {
        let process = line.fields["process"].as_u64().expect("a process");
        (process, line.fields["n"].as_i64().expect("a number"))
    });
    let whose: BTreeSet<_> = whose.collect();
    assert_eq!(whose.len(), 1, "{whose:?}");
    *whose.first().expect("lines")
}

/// Waits until so many attempts at a task have lines, of the last of them some that were written later than the first.
async fn have_lines(pool: &PgPool, task_id: i64, attempts: usize) {
    until("lines are written", async || {
        let logs = logs(pool, task_id).await;
        logs.len() == attempts && logs.last().is_some_and(|log| log.kept > 30)
    })
    .await;
}

async fn are_dead(pool: &PgPool, number: i64) {
    until("dead", async || {
        states(pool).await.get("discarded") == Some(&number)
    })
    .await;
}

#[tokio::test]
async fn two_processes_write_the_lines_of_their_own_attempts() {
    let (database, pool) = database().await;
    let mut task_ids = Vec::new();
    for n in 0..8 {
        task_ids.push(enqueue(&pool, n, "go", true).await);
    }
    // Each has room for four.
    let _workers = [
        Process::start(&database.url(), 60),
        Process::start(&database.url(), 60),
    ];
    for task_id in &task_ids {
        have_lines(&pool, *task_id, 1).await;
    }
    execute(&pool, "create table go ()").await;
    are_dead(&pool, 8).await;
    let mut of_workers = BTreeSet::new();
    for (n, task_id) in (0..).zip(task_ids) {
        let logs = logs(&pool, task_id).await;
        let [log] = &logs[..] else { panic!("{logs:?}") };
        let (process, of_task) = of_whom(log);
        assert_eq!(of_task, n);
        of_workers.insert((log.worker_id.clone(), process));
    }
    assert_eq!(of_workers.len(), 2, "{of_workers:?}");
}

#[tokio::test]
async fn lines_of_a_process_that_is_killed_stay_and_the_next_attempt_has_its_own() {
    let (database, pool) = database().await;
    let fails = enqueue(&pool, 1, "go", true).await;
    let completes = enqueue(&pool, 2, "go", false).await;
    let mut first = Process::start(&database.url(), 3);
    for task_id in [fails, completes] {
        have_lines(&pool, task_id, 1).await;
    }
    let before = logs(&pool, fails).await.remove(0);
    first.0.kill().expect("killed");
    first.0.wait().expect("it has ended");
    let _second = Process::start(&database.url(), 8);
    for task_id in [fails, completes] {
        have_lines(&pool, task_id, 2).await;
    }
    execute(&pool, "create table go ()").await;
    are_dead(&pool, 1).await;
    let logs = logs(&pool, fails).await;
    let [killed, next] = &logs[..] else {
        panic!("{logs:?}")
    };
    assert!(killed.lines.starts_with(&before.lines), "{killed:?}");
    assert_ne!(of_whom(killed).0, of_whom(next).0);
    assert_ne!(killed.worker_id, next.worker_id);
    // A crash uses no attempt: both are the first.
    assert_eq!((killed.attempt, next.attempt), (1, 1));
    // Of the one that has completed nothing is left, not even what the dead process wrote.
    until("gone", async || {
        let stay = "select count(*) from taskq.attempt_log";
        one::<i64>(&pool, stay).await == 2
    })
    .await;
    let chunks = "select count(*) from taskq.log_chunk where log_id not in (select log_id from taskq.attempt_log)";
    assert_eq!(one::<i64>(&pool, chunks).await, 0);
}

/// A worker that stands still until others have its tasks, and then goes on.
#[tokio::test]
async fn lines_of_an_attempt_that_has_lost_its_lease_are_apart_from_those_of_the_next() {
    let (database, pool) = database().await;
    let task_id = enqueue(&pool, 1, "go", true).await;
    let late = Process::start(&database.url(), 4);
    have_lines(&pool, task_id, 1).await;
    let before = logs(&pool, task_id).await.remove(0);
    late.signal(Signal::STOP);
    let _second = Process::start(&database.url(), 8);
    have_lines(&pool, task_id, 2).await;
    late.signal(Signal::CONT);
    // It goes on: the other one has no room for all of these.
    let mut others = Vec::new();
    for n in 2..=7 {
        others.push(enqueue(&pool, n, "go", false).await);
    }
    for other in others {
        have_lines(&pool, other, 1).await;
    }
    execute(&pool, "create table go ()").await;
    until("done", async || {
        let states = states(&pool).await;
        !states.contains_key("waiting") && !states.contains_key("running")
    })
    .await;
    let logs = logs(&pool, task_id).await;
    let [lost, next] = &logs[..] else {
        panic!("{logs:?}")
    };
    assert!(lost.lines.starts_with(&before.lines), "{lost:?}");
    assert_eq!((of_whom(lost).1, of_whom(next).1), (1, 1));
    assert_ne!(of_whom(lost).0, of_whom(next).0);
    assert_eq!(lost.worker_id, before.worker_id);
    assert_eq!(
        messages(lost).last(),
        Some(&"lease lost; this attempt does not count")
    );
    // Those of tasks that have completed are gone.
    until("gone", async || {
        let stay = "select count(*) from taskq.attempt_log";
        one::<i64>(&pool, stay).await == 2
    })
    .await;
}

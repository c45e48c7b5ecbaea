//! Where the time of a drain goes: statement by statement, what sessions wait for, and whose processor time it is.
//!
//! Taken only with `--why`, since to look costs some percent too.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::ops::{AddAssign, Sub};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;
use sqlx::{Connection, PgConnection};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::server::Database;

/// How often sessions are looked at.
const GLANCE: Duration = Duration::from_millis(20);

/// Statements that took less than this part of all of them are left out of the table.
const WORTH_A_LINE: f64 = 0.002;

/// In how many ticks the kernel counts a second.
const TICKS: f64 = 100.0;

/// Where the time of one measurement went.
#[derive(Debug, Clone, Serialize)]
pub struct Why {
    pub seconds: f64,
    pub statements: Vec<StatementCost>,
    /// How many active sessions there were on average, by what they waited for.
    pub waits: Vec<(String, f64)>,
    pub bench: Processor,
    pub workers: Processor,
    pub server: Processor,
}

/// Seconds of processor time.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Processor {
    pub user: f64,
    pub kernel: f64,
}

#[derive(Debug, Clone, Serialize, sqlx::FromRow)]
pub struct StatementCost {
    pub name: String,
    pub calls: i64,
    pub rows: i64,
    pub milliseconds: f64,
    pub pages: i64,
    pub wal_bytes: f64,
}

/// Looks at a database until it is asked.
pub struct Watch {
    began: Instant,
    cpu: Cpu,
    postmaster: u32,
    stop: Arc<AtomicBool>,
    sampler: JoinHandle<Result<BTreeMap<String, f64>>>,
}

impl Watch {
    /// Counts from now on. The server must [count statements](crate::server::Server::count_statements).
    pub async fn begin(db: &Database) -> Result<Self> {
        db.execute("create extension if not exists pg_stat_statements")
            .await?;
        db.execute("select pg_stat_statements_reset()").await?;
        let mut connection = PgConnection::connect(&db.url).await?;
        let backend: i32 = sqlx::query_scalar("select pg_backend_pid()")
            .fetch_one(&mut connection)
            .await?;
        let postmaster = parent_of(u32::try_from(backend)?).context("a backend has a parent")?;
        let stop = Arc::new(AtomicBool::new(false));
        let sampler = tokio::spawn(sample(connection, stop.clone()));
        Ok(Self {
            began: Instant::now(),
            cpu: Cpu::now(postmaster),
            postmaster,
            stop,
            sampler,
        })
    }

    /// Says where the time went. The processes must still be there.
    pub async fn end(self, db: &Database) -> Result<Why> {
        let seconds = self.began.elapsed().as_secs_f64();
        let cpu = Cpu::now(self.postmaster);
        self.stop.store(true, Relaxed);
        let waits = self.sampler.await??;
        let mut waits: Vec<_> = waits.into_iter().collect();
        waits.sort_by(|one, other| other.1.total_cmp(&one.1));
        let statements = sqlx::query_as(
            "select coalesce(substring(query from '/\\* taskq ([a-z_ ]+) \\*/'), left(query, 24)) as name,
                    sum(calls)::bigint as calls,
                    sum(rows)::bigint as rows,
                    sum(total_exec_time) as milliseconds,
                    sum(shared_blks_hit + shared_blks_read)::bigint as pages,
                    sum(wal_bytes)::float8 as wal_bytes
             from pg_stat_statements
             where dbid = (select oid from pg_database where datname = current_database())
               and query not like '%pg_stat_activity%'
             group by 1
             order by milliseconds desc",
        )
        .fetch_all(&db.pool)
        .await
        .context("pg_stat_statements")?;
        Ok(Why {
            seconds,
            statements,
            waits,
            bench: cpu.bench - self.cpu.bench,
            workers: cpu.workers - self.cpu.workers,
            server: cpu.server - self.cpu.server,
        })
    }
}

/// Says where the time went, if somebody looked.
pub async fn end(watch: Option<Watch>, db: &Database) -> Result<Option<Why>> {
    match watch {
        Some(watch) => watch.end(db).await.map(Some),
        None => Ok(None),
    }
}

impl Why {
    /// Returns its table.
    pub fn table(&self, tasks: u64) -> String {
        let micros = |seconds: f64| seconds * 1e6 / tasks.max(1) as f64;
        let both = |it: Processor| format!("{:.1} + {:.1}", micros(it.user), micros(it.kernel));
        let mut text = format!(
            "{:.2} s; processor time a task, in programs and in the kernel: server {} us, workers {} us, bench {} us\n",
            self.seconds,
            both(self.server),
            both(self.workers),
            both(self.bench),
        );
        let _ = writeln!(
            text,
            "{:<20} {:>8} {:>9} {:>10} {:>9} {:>9} {:>10} {:>9}",
            "STATEMENT", "CALLS", "ROWS", "MS", "MS/CALL", "US/TASK", "PAGES/CALL", "WAL B/TASK"
        );
        let all: f64 = self.statements.iter().map(|it| it.milliseconds).sum();
        let worth_a_line = |it: &&StatementCost| it.milliseconds >= all * WORTH_A_LINE;
        for it in self.statements.iter().filter(worth_a_line) {
            let calls = it.calls.max(1) as f64;
            let _ = writeln!(
                text,
                "{:<20} {:>8} {:>9} {:>10.0} {:>9.3} {:>9.2} {:>10.0} {:>9.1}",
                it.name,
                it.calls,
                it.rows,
                it.milliseconds,
                it.milliseconds / calls,
                micros(it.milliseconds / 1e3),
                it.pages as f64 / calls,
                it.wal_bytes / tasks.max(1) as f64,
            );
        }
        let waits = self.waits.iter().filter(|it| it.1 >= 0.01);
        let waits: Vec<_> = waits
            .map(|(name, mean)| format!("{name} {mean:.2}"))
            .collect();
        let _ = writeln!(
            text,
            "active sessions, by what they wait for: {}",
            waits.join(", ")
        );
        text
    }
}

/// Returns how many active sessions there were on average, by what they waited for.
async fn sample(
    mut connection: PgConnection,
    stop: Arc<AtomicBool>,
) -> Result<BTreeMap<String, f64>> {
    let mut seen: BTreeMap<String, f64> = BTreeMap::new();
    let mut glances = 0.0;
    while !stop.load(Relaxed) {
        sleep(GLANCE).await;
        let waits: Vec<(String, i64)> = sqlx::query_as(
            "select coalesce(wait_event_type || ':' || wait_event, 'none'), count(*)
             from pg_stat_activity
             where datname = current_database() and state = 'active' and pid <> pg_backend_pid()
             group by 1",
        )
        .fetch_all(&mut connection)
        .await?;
        for (name, count) in waits {
            *seen.entry(name).or_default() += count as f64;
        }
        glances += 1.0;
    }
    connection.close().await?;
    seen.values_mut()
        .for_each(|it| *it /= f64::max(glances, 1.0));
    Ok(seen)
}

/// Seconds of processor time so far.
#[derive(Debug, Clone, Copy, Default)]
struct Cpu {
    bench: Processor,
    workers: Processor,
    server: Processor,
}

impl Cpu {
    /// Sums up the processes that are there, and what ended processes have left to their parents.
    fn now(postmaster: u32) -> Self {
        let mut cpu = Self::default();
        let bench = process::id();
        let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = pids.filter_map(|it| it.file_name().to_str()?.parse::<u32>().ok());
        for stat in pids.filter_map(Stat::of) {
            if stat.pid == bench {
                cpu.bench += stat.own;
            } else if stat.parent == bench {
                cpu.workers += stat.own;
            } else if stat.pid == postmaster {
                cpu.server += stat.own;
                cpu.server += stat.ended_children;
            } else if stat.parent == postmaster {
                cpu.server += stat.own;
            }
        }
        cpu
    }
}

impl AddAssign for Processor {
    fn add_assign(&mut self, other: Self) {
        self.user += other.user;
        self.kernel += other.kernel;
    }
}

impl Sub for Processor {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            user: self.user - other.user,
            kernel: self.kernel - other.kernel,
        }
    }
}

struct Stat {
    pid: u32,
    parent: u32,
    own: Processor,
    ended_children: Processor,
}

impl Stat {
    fn of(pid: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses may hold anything.
        let (_, rest) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        let seconds = |at: usize| Some(fields.get(at)?.parse::<f64>().ok()? / TICKS);
        let processor = |at: usize| {
            let (user, kernel) = (seconds(at)?, seconds(at + 1)?);
            Some(Processor { user, kernel })
        };
        Some(Self {
            pid,
            parent: fields.get(1)?.parse().ok()?,
            own: processor(11)?,
            ended_children: processor(13)?,
        })
    }
}

fn parent_of(pid: u32) -> Option<u32> {
    Stat::of(pid).map(|it| it.parent)
}

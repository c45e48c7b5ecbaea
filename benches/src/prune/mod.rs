//! Drains while somebody prunes a large history, by turns with drains while nobody does.
//!
//! Pruning is both of its kinds at once, with a worker's own statements and rests: rows of a type and an outcome are deleted
//! that are kept for a shorter time, as long as there are some, and in each drain a day of the history is dropped.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use tokio::sync::oneshot;

use crate::arguments::Arguments;
use crate::modes::{Effort, From, drain_of, prepare};
use crate::server::{Database, Server};
use crate::systems::taskq::Taskq;
use crate::systems::{Handler, System};

const FILL: &str = include_str!("fill.sql");

/// How many finished tasks there are unless the command line says it.
pub const ROWS: u64 = 20_000_000;

/// How many tasks a drain has: some seconds' worth.
const BACKLOG: u64 = 1_000_000;
const DRAIN_LIMIT: Duration = Duration::from_secs(300);

/// The oldest day of those that were filled.
const OLDEST_DAY: i64 = 25;

/// One drain.
#[derive(Debug, Serialize)]
struct Turn {
    system: &'static str,
    is_pruned: bool,
    per_second: f64,
    longest_claim_ms: f64,
    longest_completion_ms: f64,
    rows_pruned: i64,
    days_dropped: i64,
    /// Of taskq.task and taskq.lease with their indexes, before and after.
    hot_before: i64,
    hot_after: i64,
}

/// Measures, and returns a table for people or lines for programs.
pub async fn measure(server: &Server, effort: &Effort, arguments: &Arguments) -> Result<String> {
    server.count_statements().await?;
    let rows = arguments.rows.unwrap_or(ROWS);
    let db = server.database().await?;
    taskq::migrate(&db.pool).await?;
    db.execute("create extension pg_stat_statements").await?;
    eprintln!("prune: filling 24 days with {rows} tasks");
    db.fill(format!("set bench.finished = {rows};\n{FILL}"))
        .await?;
    // The days to come, which workers make.
    taskq::operate(&db.pool).prune().await?;
    db.execute("vacuum analyze").await?;
    server.checkpoint().await?;
    let mut turns = Vec::new();
    // By how many days the history has become shorter.
    let mut dropped = 0;
    for _ in 0..effort.rounds {
        for system in [Taskq::DEFAULTS, Taskq::KEEP] {
            for is_pruned in [false, true] {
                let turn = turn(&db, &system, is_pruned, &mut dropped).await?;
                eprintln!("prune: {turn:?}");
                turns.push(turn);
            }
        }
    }
    server.drop_database(db).await?;
    match arguments.json {
        true => turns
            .iter()
            .map(|turn| Ok(serde_json::to_string(turn)? + "\n"))
            .collect(),
        false => Ok(table(&turns, rows)),
    }
}

async fn turn(db: &Database, system: &Taskq, is_pruned: bool, dropped: &mut i64) -> Result<Turn> {
    prepare(system, db, Handler::Nothing, BACKLOG).await?;
    db.execute("select pg_stat_statements_reset()").await?;
    let hot_before = hot(db).await?;
    let (stop, stopped) = oneshot::channel();
    let pruning = async {
        let pruned = match is_pruned {
            true => prune(db, *dropped, stopped).await?,
            false => Pruned::default(),
        };
        anyhow::Ok(pruned)
    };
    let draining = async {
        let sample = drain_of(
            system,
            db,
            Handler::Nothing,
            BACKLOG,
            DRAIN_LIMIT,
            From::FirstHandler,
        )
        .await;
        drop(stop);
        sample
    };
    let (pruned, sample) = tokio::join!(pruning, draining);
    let (pruned, sample) = (pruned?, sample?);
    *dropped += pruned.days;
    Ok(Turn {
        system: system.name(),
        is_pruned,
        per_second: sample.per_second.context("a drain has a rate")?,
        longest_claim_ms: longest(db, r"/\* taskq claim").await?,
        longest_completion_ms: longest(db, r"/\* taskq (complete|settle)").await?,
        rows_pruned: pruned.rows,
        days_dropped: pruned.days,
        hot_before,
        hot_after: hot(db).await?,
    })
}

#[derive(Debug, Default)]
struct Pruned {
    rows: i64,
    days: i64,
}

/// Prunes until told to stop: first a day of the history is kept no longer, then rows are deleted one part after the other.
async fn prune(db: &Database, dropped: i64, mut stopped: oneshot::Receiver<()>) -> Result<Pruned> {
    let (rows_before, days_before) = (rows_pruned(db).await?, days(db).await?);
    let last = OLDEST_DAY - dropped - 1;
    db.execute(&format!(
        "select taskq.keep('kept_shorter', 'completed', '3d'), taskq.keep('kept_shorter', 'discarded', '3d'),
         taskq.keep('', 'completed', '{last}d'), taskq.keep('kept_longer', 'completed', '{last}d')"
    ))
    .await?;
    let operator = taskq::operate(&db.pool);
    let pruning = async {
        db.execute("select taskq.prune_history_day('7 days')")
            .await?;
        loop {
            operator.prune().await?;
        }
    };
    let failed: Result<()> = tokio::select! {
        failed = pruning => failed,
        _ = &mut stopped => Ok(()),
    };
    failed?;
    Ok(Pruned {
        rows: rows_pruned(db).await? - rows_before,
        days: days_before - days(db).await?,
    })
}

async fn rows_pruned(db: &Database) -> Result<i64> {
    let sum = sqlx::query_scalar("select coalesce(sum(total), 0)::bigint from taskq.pruned");
    Ok(sum.fetch_one(&db.pool).await?)
}

async fn days(db: &Database) -> Result<i64> {
    let days = sqlx::query_scalar(
        "select count(*)
         from pg_inherits
         where inhparent = 'taskq.history'::regclass
           and inhrelid::regclass::text < 'taskq.history_' || to_char(now() at time zone 'UTC', 'YYYYMMDD')",
    );
    Ok(days.fetch_one(&db.pool).await?)
}

/// Returns how many bytes the tables have that every task goes through.
async fn hot(db: &Database) -> Result<i64> {
    let bytes = sqlx::query_scalar(
        "select pg_total_relation_size('taskq.task') + pg_total_relation_size('taskq.lease')",
    );
    Ok(bytes.fetch_one(&db.pool).await?)
}

/// Returns how long the longest of the statements took whose text matches, its waits for locks in it.
async fn longest(db: &Database, pattern: &str) -> Result<f64> {
    let longest = sqlx::query_scalar(
        "select coalesce(max(max_exec_time), 0)
         from pg_stat_statements
         where query ~ $1",
    );
    Ok(longest.bind(pattern).fetch_one(&db.pool).await?)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        0 => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    }
}

fn table(turns: &[Turn], rows: u64) -> String {
    let mut text = format!("\nprune: drains beside a history of {rows} tasks in 24 days\n");
    let _ = writeln!(
        text,
        "{:<14} {:>8} {:>10} {:>12} {:>15} {:>12} {:>6} {:>10} {:>10}",
        "SYSTEM",
        "PRUNING",
        "TASKS/S",
        "CLAIM MS",
        "COMPLETION MS",
        "ROWS PRUNED",
        "DAYS",
        "HOT BEFORE",
        "AFTER KB"
    );
    for turn in turns {
        let _ = writeln!(
            text,
            "{:<14} {:>8} {:>10.0} {:>12.1} {:>15.1} {:>12} {:>6} {:>10} {:>10}",
            turn.system,
            if turn.is_pruned { "yes" } else { "no" },
            turn.per_second,
            turn.longest_claim_ms,
            turn.longest_completion_ms,
            turn.rows_pruned,
            turn.days_dropped,
            turn.hot_before / 1024,
            turn.hot_after / 1024,
        );
    }
    for name in [Taskq::DEFAULTS.name(), Taskq::KEEP.name()] {
        let rate = |is_pruned| {
            let of_it = turns.iter();
            let of_it = of_it.filter(|turn| turn.system == name && turn.is_pruned == is_pruned);
            median(of_it.map(|turn| turn.per_second).collect())
        };
        let _ = writeln!(
            text,
            "{name}: {:.2} of the rate without",
            rate(true) / rate(false)
        );
    }
    text
}
